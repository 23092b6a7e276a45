#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Direct links: send and recv as two who name each other, what ls says, and names that go with their process.
. "${0%/*}/common.sh"

# Whoever comes first waits for the other; the end of the one is the other's.
seq 1 1000 >"$room/lines"
start_into "$room/got" recv direct:alice --as bob
ginnel send direct:bob --as alice --timeout 20s "$room/lines"
status=0
wait "$pid" || status=$?
[ "$status" = 4 ] || fail "recv ends with $status when the other side has gone, not with 4"
cmp "$room/lines" "$room/got" || fail "what came is not what was sent"

# A name that nobody has.
status=0
echo late | ginnel send direct:nobody --timeout 100ms 2>"$room/words" || status=$?
[ "$status" = 1 ] || fail "to nobody: $status"
grep -q 'no process has that name' "$room/words" || fail "to nobody: $(cat "$room/words")"

# A living one's name is taken; what a dead one left goes.
start recv direct:nobody --as carol
holder=$pid
for _ in $(seq 500); do
    ginnel ls | grep -q '^direct *carol' && break
    sleep 0.02
done
ginnel ls | grep -q '^direct *carol' || fail "ls does not show it"
status=0
ginnel recv direct:nobody --as carol --timeout 1s 2>"$room/words" || status=$?
{ [ "$status" = 1 ] && grep -q "process $holder has that name" "$room/words"; } ||
    fail "twice: $status, $(cat "$room/words")"
ginnel rm direct:carol 2>"$room/words" && fail "a living one's name was removed"
kill -KILL "$holder"
wait "$holder" 2>/dev/null || :
ginnel stat --json direct:carol | grep -q '"users":0' || fail "stat of a dead one: $(ginnel stat --json direct:carol)"
ginnel rm direct:carol
ginnel ls | grep -q carol && fail "it is there still"
exit 0
