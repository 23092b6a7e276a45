#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Nobody reads what recv writes any more: it ends, and nothing is lost.
. "$(dirname "$0")/common.sh"

mkfifo "$room/pipe"
start_into "$room/pipe" recv mailbox:p
receiver=$pid
exec 3<"$room/pipe"
until_true field_is mailbox:p '[p["activity"] for p in s["participants"]]' "['waits to receive']"
exec 3<&-
seq 1 100 >"$room/numbers"
ginnel send mailbox:p "$room/numbers"
ended "$receiver"
same "status of recv: SIGPIPE's" "$got" 141
same "left in the mailbox" "$(field mailbox:p 's["queued"], s["held"]')" "(100, 0)"
ginnel recv mailbox:p --count 100 | sort -n | cmp - "$room/numbers"

# It ends even if there is nothing to write.
start_into "$room/pipe" recv mailbox:p
receiver=$pid
exec 3<"$room/pipe"
until_true field_is mailbox:p '[p["activity"] for p in s["participants"]]' "['waits to receive']"
exec 3<&-
ended "$receiver"
same "status of recv: SIGPIPE's" "$got" 141
