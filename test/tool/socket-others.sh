#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Byte streams with programs that know nothing of Ginnel: nc, socat and curl, as the one that connects and as the one
# that listens. What is not installed is left out; 77 if nothing is.
. "${0%/*}/common.sh"

told() { grep -q 'listening on' "$1"; }
found() { sed -n 's/.*listening on tcp://p' "$1"; }
has() { command -v "$1" >/dev/null; }
any=
head -c 300000 /dev/urandom >"$room/bytes"

# serve_tcp COMMAND...: its host and port in $at.
serve_tcp() {
    : >"$room/where"
    start serve tcp:127.0.0.1:0 --stream -- "$@" 2>"$room/where"
    until_true told "$room/where"
    at=$(found "$room/where")
}

if has nc; then
    any=1
    # nc -N ends its sending with its input, and goes on receiving.
    serve_tcp cat
    nc -N "${at%:*}" "${at##*:}" <"$room/bytes" >"$room/back"
    cmp "$room/bytes" "$room/back" || fail "nc got back something else than it had sent"
    start serve "unix:$room/echo" --stream -- cat
    until_true test -S "$room/echo"
    nc -N -U "$room/echo" <"$room/bytes" >"$room/back"
    cmp "$room/bytes" "$room/back" || fail "nc got back something else over a UNIX socket"
    # Here nc listens, and ginnel sends bytes.
    nc -l -U "$room/nc" >"$room/got" &
    listener=$!
    started="$started $listener"
    until_true test -S "$room/nc"
    ginnel send "unix:$room/nc" --stream --whole "$room/bytes"
    ended "$listener"
    cmp "$room/bytes" "$room/got" || fail "nc got something else than ginnel sent"
fi

if has socat; then
    any=1
    serve_tcp cat
    socat -t 30 - "TCP:$at" <"$room/bytes" >"$room/back"
    cmp "$room/bytes" "$room/back" || fail "socat got back something else than it had sent"
    # Many at a time, each with a command of its own.
    # shellcheck disable=SC2016 # it is the command's to expand
    serve_tcp sh -c 'read -r line; echo "you said $line"'
    for i in 1 2 3 4 5 6 7 8; do
        (echo "$i" | socat -t 30 - "TCP:$at" >"$room/answer$i") &
        started="$started $!"
        eval "client$i=$!"
    done
    for i in 1 2 3 4 5 6 7 8; do
        eval "ended \$client$i"
        same "the answer to $i" "$(cat "$room/answer$i")" "you said $i"
    done
    # Here socat listens and sends a file; ginnel receives until the end.
    socat "UNIX-LISTEN:$room/socat" "OPEN:$room/bytes,rdonly" &
    started="$started $!"
    until_true test -S "$room/socat"
    ginnel recv "unix:$room/socat" --stream >"$room/got" || same "the end" "$?" 4
    cmp "$room/bytes" "$room/got" || fail "ginnel got something else than socat sent"
fi

if has curl; then
    any=1
    # The request is read to its end: who closes before that resets the connection.
    # shellcheck disable=SC2016
    answer='while read -r line && [ "$line" != "$(printf "\r")" ]; do :; done
        printf "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"; cat "$1"'
    serve_tcp sh -c "$answer" sh "$room/bytes"
    curl -s --noproxy '*' -o "$room/got" "http://$at/"
    cmp "$room/bytes" "$room/got" || fail "curl got something else"
    echo "over a file" >"$room/text"
    start serve "unix:$room/http" --stream -- sh -c "$answer" sh "$room/text"
    until_true test -S "$room/http"
    same curl "$(curl -s --noproxy '*' --unix-socket "$room/http" http://localhost/)" "over a file"
fi

[ -n "$any" ] || exit 77
