#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Named pipes: send and recv, either listening; serve; what ls, stat, rm and doctor make of them.
. "${0%/*}/common.sh"

listens() { ginnel ls | grep -q "^pipe *$1 "; }

# Several clients, one who listens.
start_into "$room/got" recv pipe:in --listen --count 3000
until_true listens in
seq 1 1000 >"$room/a"
seq 1001 2000 >"$room/b"
seq 2001 3000 >"$room/c"
for each in a b c; do
    ginnel send pipe:in "$room/$each" &
    started="$started $!"
done
ended "$pid"
same "recv --listen ends" "$got" 0
sort -n "$room/got" | cmp - "$(seq 1 3000 >"$room/all"; echo "$room/all")" || fail "what came is not what was sent"

# The sender listens, and the end of it is the receiver's.
start send pipe:out --listen "$room/all"
until_true listens out
status 4 ginnel recv pipe:out
cmp "$room/out" "$room/all" || fail "what came is not what was sent"

# A command a message.
# shellcheck disable=SC2016
start work pipe:work --listen --count 3 -- sh -c 'cat >>"$0"; echo >>"$0"' "$room/worked"
until_true listens work
seq 1 3 | ginnel send pipe:work
ended "$pid"
same "work --listen ends" "$got" 0
same "it worked" "$(sort "$room/worked" | xargs)" "1 2 3"

# A process for each who connects: messages are lines.
start serve pipe:up -- tr a-z A-Z
server=$pid
until_true listens up
status 1 ginnel serve pipe:up -- cat
said "process $server listens there"
status 1 ginnel rm pipe:up
said "a process listens there"
field_is pipe:up 's["users"]' 1 || fail "stat: $(ginnel stat --json pipe:up)"

# What a killed one leaves is found, and goes.
kill -KILL "$server"
wait "$server" 2>/dev/null || :
status 1 ginnel send pipe:up "$room/a"
said "nobody listens there any more"
ginnel doctor | grep -q 'pipe:up: no process has that name any more' || fail "doctor: $(ginnel doctor)"
ginnel doctor --clean | grep -q 'pipe:up: .*removed' || fail "doctor --clean does not remove it"
listens up && fail "it is there still"

# Bytes.
start serve pipe:bytes --stream -- cat "$room/all"
until_true listens bytes
status 4 ginnel recv pipe:bytes --stream
cmp "$room/out" "$room/all" || fail "the bytes are others"
status 1 ginnel recv pipe:bytes
said "byte mode"
exit 0
