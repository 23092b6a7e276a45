#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A message that no command can do goes to the dead letters after max_deliveries.
. "$(dirname "$0")/common.sh"

printf 'good\nbad\n' | ginnel send mailbox:d --max-deliveries 3 --dead-letters mailbox:graves
ginnel work mailbox:d --count 4 -- grep -q good 2>"$room/err"
same "complaints" "$(grep -c 'grep: exit status 1; message given back' "$room/err")" 3
status 3 ginnel work mailbox:d --timeout 100ms -- false
same "complaints: it is not delivered once more" "$(cat "$room/err")" ""
same "given up" "$(field mailbox:d 's["queued"], s["held"], s["discarded"]')" "(0, 0, 1)"
same "dead letters" "$(ginnel recv mailbox:graves --count 1)" bad

# The dead letters could not be reached, and who tried has ended: the next receiver tries again.
mkdir "$GINNEL_DIR/mailbox:blocked"
echo poison | ginnel send mailbox:p --max-deliveries 1 --dead-letters mailbox:blocked
status 3 ginnel work mailbox:p --timeout 200ms -- false 2>"$room/err"
same "it stays" "$(field mailbox:p 's["queued"], s["discarded"]')" "(1, 0)"
rmdir "$GINNEL_DIR/mailbox:blocked"
status 3 ginnel recv mailbox:p --timeout 200ms
same "it is gone" "$(field mailbox:p 's["queued"], s["discarded"]')" "(0, 1)"
same "to the dead letters" "$(ginnel recv mailbox:blocked --count 1)" poison
