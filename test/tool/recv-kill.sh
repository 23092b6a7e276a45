#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# recv killed while it holds messages: they come again, and say so.
. "$(dirname "$0")/common.sh"

seq -f '%0100.0f' 1 5000 >"$room/numbers"
mkfifo "$room/pipe"
start_into "$room/pipe" recv mailbox:k --capacity unbounded
receiver=$pid
exec 3<"$room/pipe"
ginnel send mailbox:k --capacity unbounded "$room/numbers"
stuck() {
    before=$(field mailbox:k 's["received"], s["held"]')
    sleep 0.2
    [ "$before" = "$(field mailbox:k 's["received"], s["held"]')" ] && field_is mailbox:k 's["held"] > 0' True
}
until_true stuck
held=$(field mailbox:k 's["held"]')
kill -KILL "$receiver"
ended "$receiver"
same "status of recv: SIGKILL's" "$got" 137
cat <&3 >"$room/piped"
exec 3<&-

ginnel recv mailbox:k --info --timeout 300ms >"$room/rest" || :
same "redelivered, by --info" "$(grep -c 'deliveries=2 redelivered=yes' "$room/rest")" "$held"
same "redelivered, by stat" "$(field mailbox:k 's["redelivered"]')" "$held"
# All are there; twice only what is flagged.
{ awk 'length($0) == 100 && !/[^0-9]/' "$room/piped"; awk 'length($0) == 100 && !/[^0-9]/' "$room/rest"; } | sort >"$room/all"
uniq "$room/all" | cmp - "$room/numbers"
grep -A 1 'redelivered=yes' "$room/rest" | awk 'length($0) == 100 && !/[^0-9]/' | sort >"$room/flagged"
uniq -d "$room/all" | comm -23 - "$room/flagged" >"$room/unflagged"
same "twice, but not flagged" "$(wc -l <"$room/unflagged")" 0
