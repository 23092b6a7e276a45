#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# recv ends when no message comes for so long, after all that were there.
. "$(dirname "$0")/common.sh"

status 3 ginnel recv mailbox:t --timeout 50ms
same "standard output" "$(cat "$room/out")" ""
seq 1 500 >"$room/numbers"
ginnel send mailbox:t "$room/numbers"
status 3 ginnel recv mailbox:t --timeout 50ms
cmp "$room/numbers" "$room/out"
ginnel send mailbox:t "$room/numbers"
status 0 ginnel recv mailbox:t --timeout 50ms --count 300
same left "$(field mailbox:t 's["queued"]')" 200
