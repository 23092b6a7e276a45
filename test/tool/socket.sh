#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sockets: send, recv and serve over UNIX and TCP. Bytes with other programs: socket-others.sh.
. "${0%/*}/common.sh"

# The port that was found for port 0, as standard error tells it.
told() { grep -q 'listening on' "$1"; }
found() { sed -n 's/.*listening on //p' "$1"; }

seq 1 2000 >"$room/all"

# UNIX: several clients, one who listens; then the sender listens.
start_into "$room/got" recv "unix:$room/s" --listen --count 4000
until_true test -S "$room/s"
ginnel send "unix:$room/s" "$room/all" &
started="$started $!"
ginnel send "unix:$room/s" "$room/all"
ended "$pid"
sort -n "$room/got" | uniq | cmp - "$room/all" || fail "what came is not what was sent"
start send "unix:$room/s" --listen "$room/all"
until_true test -S "$room/s"
status 4 ginnel recv "unix:$room/s"
cmp "$room/out" "$room/all" || fail "what came is not what was sent"

# TCP.
start recv tcp:127.0.0.1:0 --listen --count 2000 >"$room/got" 2>"$room/where"
until_true told "$room/where"
ginnel send "$(found "$room/where")" "$room/all"
ended "$pid"
cmp "$room/got" "$room/all" || fail "what came is not what was sent"

# A command a connection.
start serve tcp:127.0.0.1:0 -- tr a-z A-Z 2>"$room/where"
until_true told "$room/where"
serves=$(found "$room/where")
echo hello | status 0 ginnel send "$serves"
status 2 ginnel recv "tcp:${serves#tcp:}x"

# As bytes they are what they were: the last line has no newline, and gets none.
printf 'one\n\ntwo' >"$room/bytes"
printf 'one\0two\0' >"$room/zeros"
for each in bytes zeros; do
    start_into "$room/stream" recv "unix:$room/$each.s" --listen --stream
    until_true test -S "$room/$each.s"
    if [ "$each" = bytes ]; then
        ginnel send "unix:$room/$each.s" --stream "$room/$each"
    else
        ginnel send "unix:$room/$each.s" --stream --null "$room/$each"
    fi
    until_true cmp "$room/$each" "$room/stream"
    kill -TERM "$pid"
    ended "$pid"
done
