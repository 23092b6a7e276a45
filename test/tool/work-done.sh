#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A command for each message, on its standard input; success is the end of the message.
. "$(dirname "$0")/common.sh"

printf 'one\ntwo\n\n' | ginnel send mailbox:w
# shellcheck disable=SC2016
ginnel work mailbox:w --count 3 -- sh -c 'echo "[$(cat)] $GINNEL_DELIVERIES $GINNEL_SENDER_PID $*"' sh -x 'a b' >"$room/out"
same "lines of output" "$(sed 's/ [0-9]* -x/ -x/' "$room/out" | tr '\n' ,)" "[one] 1 -x a b,[two] 1 -x a b,[] 1 -x a b,"
senders=$(sed 's/.*\] 1 \([0-9]*\) -x.*/\1/' "$room/out" | sort -u)
[ "$senders" -gt 1 ] || fail "the sender's number is '$senders'"
same "what remains" "$(field mailbox:w 's["queued"], s["held"], s["received"]')" "(0, 0, 3)"

# A large message, and a command that does not read it.
head -c 700000 /dev/urandom >"$room/large"
ginnel send --whole mailbox:w "$room/large" "$room/large"
ginnel work mailbox:w --count 1 -- cat | cmp - "$room/large"
ginnel work mailbox:w --count 1 -- true
status 3 ginnel work mailbox:w --timeout 50ms -- false

# The command has neither the mailbox nor a signal that is blocked. (A shell would clear its mask.)
printf '1\n2\n' | ginnel send mailbox:w
ginnel work mailbox:w --count 1 -- ls -l /proc/self/fd >"$room/out"
if grep -e "$GINNEL_DIR" -e 'mailbox:w' "$room/out"; then fail "the command inherited the mailbox"; fi
ginnel work mailbox:w --count 1 -- grep SigBlk /proc/self/status >"$room/out"
same "signals blocked" "$(tr -d '\t' <"$room/out")" "SigBlk:0000000000000000"
