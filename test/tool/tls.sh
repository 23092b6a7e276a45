#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# TLS: send, recv and serve, and the programs of OpenSSL at the other end.
. "${0%/*}/common.sh"

command -v openssl >/dev/null || exit 77
told() { grep -q 'listening on' "$1"; }
found() { sed -n 's/.*listening on //p' "$1"; }

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$room/key" -out "$room/cert" -days 2 \
    -subj /CN=ginnel -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' 2>"$room/err" || fail "openssl makes no certificate"
seq 1 2000 >"$room/all"

start recv tls:127.0.0.1:0 --listen --count 2000 --tls-cert "$room/cert" --tls-key "$room/key" >"$room/got" 2>"$room/where"
until_true told "$room/where"
at=$(found "$room/where")
status 1 ginnel send "$at" "$room/all"
ginnel send "$at" --tls-ca "$room/cert" "$room/all"
ended "$pid"
cmp "$room/got" "$room/all" || fail "what came is not what was sent"

# Who is killed has not said its end: of clients it is said which one, and to a client that the other is gone.
start recv tls:127.0.0.1:0 --listen --tls-cert "$room/cert" --tls-key "$room/key" >"$room/got" 2>"$room/where"
until_true told "$room/where"
at=$(found "$room/where")
mkfifo "$room/hold"
(echo first && cat "$room/hold") | "$GINNEL" send "$at" --tls-ca "$room/cert" &
sender=$!
started="$started $sender"
until_true grep -q first "$room/got"
kill -KILL "$sender"
: >"$room/hold"
until_true grep -q 'stream was cut\|connection was cut' "$room/where"
! grep 'was cut' "$room/where" | grep -q "$at" || fail "it names itself: $(cat "$room/where")"
# shellcheck disable=SC2016
start serve tls:127.0.0.1:0 --tls-cert "$room/cert" --tls-key "$room/key" -- sh -c 'echo yes; cat' 2>"$room/where2"
server=$pid
until_true told "$room/where2"
start recv "$(found "$room/where2")" --tls-ca "$room/cert" >"$room/got2" 2>"$room/err2"
client=$pid
until_true grep -q yes "$room/got2"
kill -KILL "$server"
ended "$client"
same "recv, its server killed, ends" "$got" 4

# Pre-shared keys.
echo me:00112233445566778899aabbccddeeff >"$room/psk"
start serve tls:127.0.0.1:0 --tls-psk "$room/psk" -- cat 2>"$room/where"
until_true told "$room/where"
echo hello | status 0 ginnel send "$(found "$room/where")" --tls-psk "$room/psk"

# OpenSSL connects.
# shellcheck disable=SC2016
start serve tls:127.0.0.1:0 --stream --tls-cert "$room/cert" --tls-key "$room/key" -- \
    sh -c 'read -r line; echo "got $line"' 2>"$room/where"
until_true told "$room/where"
at=$(found "$room/where")
if command -v curl >/dev/null; then
    start serve tls:127.0.0.1:0 --stream --tls-cert "$room/cert" --tls-key "$room/key" -- \
        sh -c 'read -r line; printf "HTTP/1.0 200 OK\r\n\r\nyes\n"' 2>"$room/where"
    until_true told "$room/where"
    web=$(found "$room/where")
    same curl "$(curl -s --noproxy '*' --cacert "$room/cert" "https://${web#tls:}/")" yes
fi
# It ends when the other side does.
echo hello | timeout 60 openssl s_client -connect "${at#tls:}" -CAfile "$room/cert" -verify_return_error -quiet \
    >"$room/out" 2>"$room/err" || true
grep -q "got hello" "$room/out" || fail "s_client: $(cat "$room/out" "$room/err")"
