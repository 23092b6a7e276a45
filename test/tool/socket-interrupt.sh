#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A signal ends the wait for a connection at once, and nothing untrue is said: in connecting, in TLS's handshake, in
# listening.
. "${0%/*}/common.sh"

told() { [ -s "$1" ]; }
connects() { find "/proc/$1/fd" -lname 'socket:*' | grep -q .; }

python3 "$(dirname "$0")/listeners.py" >"$room/at" &
started="$started $!"
until_true told "$room/at"

read -r full mute <"$room/at"
for address in "$full" "$mute"; do
    for command in send recv work; do
        set -- $command "$address" --connect-timeout 10m
        [ $command != work ] || set -- "$@" -- true
        "$GINNEL" "$@" </dev/null >"$room/out" 2>"$room/err" &
        pid=$!
        started="$started $pid"
        until_true connects "$pid"
        kill -TERM "$pid"
        ended "$pid"
        same "$command in connecting to $address ends" "$got" 143
        same "it said" "$(cat "$room/err")" ""
    done
done

"$GINNEL" send "unix:$room/s" --listen </dev/null 2>"$room/err" &
pid=$!
started="$started $pid"
until_true test -S "$room/s"
kill -TERM "$pid"
ended "$pid"
same "send --listen ends" "$got" 143
said '^ginnel send: interrupted; nobody has connected$'
[ ! -e "$room/s" ] || fail "its file is there still"
