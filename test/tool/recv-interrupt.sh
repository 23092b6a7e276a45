#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SIGINT and SIGTERM end recv, even in the middle of writing, and nothing is lost or doubled.
. "$(dirname "$0")/common.sh"

seq -f '%0100.0f' 1 5000 >"$room/numbers"
mkfifo "$room/pipe"
start_into "$room/pipe" recv mailbox:i --capacity unbounded
receiver=$pid
exec 3<"$room/pipe"
ginnel send mailbox:i --capacity unbounded "$room/numbers"
# The pipe is full: what recv holds it cannot write.
stuck() {
    before=$(field mailbox:i 's["received"], s["held"]')
    sleep 0.2
    [ "$before" = "$(field mailbox:i 's["received"], s["held"]')" ] && field_is mailbox:i 's["held"] > 0' True
}
until_true stuck
kill -INT "$receiver"
ended "$receiver"
same "status of recv: SIGINT's" "$got" 130
same "held by nobody" "$(field mailbox:i 's["held"]')" 0
# The last line in the pipe may be a part of one.
cat <&3 >"$room/piped"
exec 3<&-
left=$(field mailbox:i 's["queued"]')
[ "$left" -gt 0 ] || fail "nothing was left: the pipe took it all"
ginnel recv mailbox:i --count "$left" >"$room/rest"
{ awk 'length($0) == 100 && !/[^0-9]/' "$room/piped"; cat "$room/rest"; } | sort | cmp - "$room/numbers"

# Waiting for a message.
start_into "$room/nothing" recv mailbox:i
until_true field_is mailbox:i '[p["activity"] for p in s["participants"]]' "['waits to receive']"
kill -TERM "$pid"
ended "$pid"
same "status of recv: SIGTERM's" "$got" 143
same "users that remain" "$(field mailbox:i 's["users"], s["dead"]')" "(0, 0)"
