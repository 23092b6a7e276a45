#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FIFOs: with cat, echo and tee on the other side.
. "${0%/*}/common.sh"

fifo=$room/fifo
mkfifo "$fifo"
seq 1 50000 >"$room/all"

cat "$fifo" >"$room/got" &
reader=$!
started="$started $reader"
ginnel send "fifo:$fifo" "$room/all"
ended "$reader"
cmp "$room/got" "$room/all" || fail "cat got something else"

tee "$fifo" <"$room/all" >/dev/null &
started="$started $!"
status 4 ginnel recv "fifo:$fifo"
cmp "$room/out" "$room/all" || fail "tee's bytes are others"

start_into "$room/worked" work "fifo:$fifo" --count 1 -- cat
echo hello >"$fifo"
ended "$pid"
same "work" "$got" 0
same "it worked" "$(cat "$room/worked")" hello

status 3 ginnel send --timeout 20ms "fifo:$fifo" "$room/all"
status 0 ginnel stat "fifo:$fifo"
ginnel rm "fifo:$fifo"
[ ! -e "$fifo" ] || fail "it is there still"
exit 0
