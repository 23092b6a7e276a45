#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# TLS 1.3 and, where that is allowed, 1.2: with OpenSSL's client and its server, bytes either way.
. "${0%/*}/common.sh"

command -v openssl >/dev/null || exit 77
told() { grep -q 'listening on' "$1"; }
found() { sed -n 's/.*listening on //p' "$1"; }
accepts() { grep -q '^ACCEPT' "$room/peer"; }

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$room/key" -out "$room/cert" -days 2 \
    -subj /CN=ginnel -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' 2>"$room/err" || fail "openssl makes no certificate"
mkfifo "$room/typed"
exec 3<>"$room/typed" # the server's standard input, which does not end

# serve OPTION...: in $at an echo of one line.
serve() {
    : >"$room/where"
    # shellcheck disable=SC2016 # it is the command's to expand
    start serve tls:127.0.0.1:0 --stream --tls-cert "$room/cert" --tls-key "$room/key" "$@" -- \
        sh -c 'read -r line; echo "got $line"' 2>"$room/where"
    until_true told "$room/where"
    at=$(found "$room/where")
}

# client OPTION...: OpenSSL's, which ends when the other side does; what it says is in $room/peer.
client() {
    echo hello | timeout 60 openssl s_client -connect "${at#tls:}" -CAfile "$room/cert" -verify_return_error \
        -ign_eof "$@" >"$room/peer" 2>&1 || :
}

# server OPTION...: OpenSSL's, for one connection, in $at and $server; what it says is in $room/peer.
server() {
    : >"$room/peer"
    openssl s_server -accept 127.0.0.1:0 -naccept 1 -cert "$room/cert" -key "$room/key" "$@" <&3 3>&- >"$room/peer" 2>&1 &
    server=$!
    started="$started $server"
    until_true accepts
    at="tls:$(sed -n 's/^ACCEPT //p' "$room/peer")"
}

# peer_says PATTERN
peer_says() {
    grep -q -e "$1" "$room/peer" || fail "OpenSSL does not say '$1': $(cat "$room/peer")"
}

# OpenSSL connects.
serve
client -tls1_3
peer_says 'got hello'
client -tls1_2
peer_says 'alert protocol version'
if grep -q 'got hello' "$room/peer"; then fail "1.2 was spoken, and not allowed"; fi
serve --tls-1.2
client -tls1_2
peer_says 'got hello'
peer_says 'Protocol *: TLSv1.2'
client
peer_says 'got hello'
peer_says 'New, TLSv1.3'

# OpenSSL listens.
server -tls1_2
echo hello | status 1 ginnel send "$at" --stream --tls-ca "$room/cert"
said 'no TLS version.* in common.* 1\.2 only if that is allowed'
ended "$server"
# A server of one version alone: what came was that one's; its ciphers say so, too.
for version in 1_2:ECDHE 1_3:TLS_; do
    server "-tls${version%:*}"
    echo hello | status 0 ginnel send "$at" --stream --tls-ca "$room/cert" --tls-1.2
    ended "$server"
    peer_says '^hello'
    peer_says "CIPHER is ${version#*:}"
done
server -tls1_3
start_into "$room/got" recv "$at" --stream --tls-ca "$room/cert" 2>"$room/err"
until_true grep -q "^CIPHER is" "$room/peer" # before that it does not look at what is typed as it should
echo "good morning" >&3
until_true grep -q "good morning" "$room/got"
echo Q >&3 # it closes the socket without TLS's word for that, as of OpenSSL 3.0: how that ends is not looked at
ended "$pid"
same "what came" "$(cat "$room/got")" "good morning"
ended "$server"
