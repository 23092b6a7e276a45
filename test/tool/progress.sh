#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# On a terminal a long send tells how it gets on; elsewhere it is silent.
. "$(dirname "$0")/common.sh"

seq 1 30 >"$room/numbers"
script -qec "'$GINNEL' send mailbox:p --rate 25 '$room/numbers'" /dev/null </dev/null >"$room/screen"
tr '\r' '\n' <"$room/screen" >"$room/lines"
grep -q 'sent [0-9][0-9]*  [0-9][0-9]*/s  queued [0-9]' "$room/lines" || fail "no progress: $(cat -v "$room/screen")"
grep -q 'sent 30 in [0-9.]* s  [0-9]*/s' "$room/lines" || fail "no last line: $(cat -v "$room/screen")"
same sent "$(field mailbox:p 's["sent"]')" 30

# A narrow terminal: no line wraps, so that each can be taken away.
script -qec "stty cols 12; '$GINNEL' send mailbox:n --rate 25 '$room/numbers'" /dev/null </dev/null >"$room/screen"
sed 's/\r/\n/g; s/\x1b\[K//g' "$room/screen" | sed '/ in [0-9.]* s /d' >"$room/lines"
grep -q 'sent [0-9]' "$room/lines" || fail "no progress: $(cat -v "$room/screen")"
! grep -q '............' "$room/lines" || fail "a line wraps: $(cat -v "$room/screen")"

# A full mailbox: it tells that too, and then the complaint has a line of its own.
got=0
script -qec "'$GINNEL' send mailbox:q --capacity 4 --timeout 1500ms '$room/numbers'" /dev/null </dev/null >"$room/screen" || got=$?
same "status of send" "$got" 3
tr '\r' '\n' <"$room/screen" >"$room/lines"
grep -q 'sent 4  [0-9]*/s  queued 4' "$room/lines" || fail "no progress: $(cat -v "$room/screen")"
grep -q "^ginnel send: mailbox 'q': timed out; sent 4" "$room/lines" || fail "no complaint: $(cat -v "$room/screen")"

# A short one says nothing, and neither does a pipe.
seq 1 3 >"$room/few"
script -qec "'$GINNEL' send mailbox:r '$room/few'" /dev/null </dev/null >"$room/screen"
same "a short send" "$(cat "$room/screen")" ""
status 0 ginnel send mailbox:p --rate 25 "$room/numbers"
same "no terminal" "$(cat "$room/err")" ""
