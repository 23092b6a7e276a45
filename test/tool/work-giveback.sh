#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A command that fails gives its message back, and gets it again with a higher count.
. "$(dirname "$0")/common.sh"

seq 1 3 | ginnel send mailbox:g
# shellcheck disable=SC2016
ginnel work mailbox:g --count 6 -- sh -c 'read -r line; echo "$line $GINNEL_DELIVERIES"; [ "$GINNEL_DELIVERIES" = 2 ]' \
    >"$room/out" 2>"$room/err"
same "deliveries" "$(sort "$room/out" | tr '\n' ,)" "1 1,1 2,2 1,2 2,3 1,3 2,"
same "complaints" "$(grep -c '^ginnel work: sh: exit status 1; message given back after delivery 1' "$room/err")" 3
same "what remains" "$(field mailbox:g 's["queued"], s["held"], s["redelivered"]')" "(0, 0, 3)"

# Always failing: it pauses longer and longer, and stops at once when told to.
echo poison | ginnel send mailbox:g
before=$(date +%s%N)
start work mailbox:g -- sh -c 'kill -9 $$' 2>"$room/err"
until_true grep -q 'delivery 7, pausing 640 ms' "$room/err"
after=$(date +%s%N)
[ $((after - before)) -ge 630000000 ] || fail "six pauses took $(((after - before) / 1000000)) ms"
grep -q 'sh: ended by signal 9; message given back after delivery 2, pausing 20 ms' "$room/err" || fail "no pause of 20 ms"
kill -TERM "$pid"
ended "$pid"
same "status of work: SIGTERM's" "$got" 143
same "given back" "$(field mailbox:g 's["queued"], s["held"]')" "(1, 0)"
