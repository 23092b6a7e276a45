#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A full mailbox: send waits, as long as it was told to, and says where it stopped.
. "$(dirname "$0")/common.sh"

seq 1 5 >"$room/five"
status 3 ginnel send mailbox:full --capacity 3 --timeout 50ms "$room/five"
said "^ginnel send: mailbox 'full': timed out; sent 3, stopped at .*/five: line 4$"
status 3 ginnel send mailbox:full --timeout 0 "$room/five"
said "would block; sent 0, stopped at .*/five: line 1$"
same received "$(ginnel recv mailbox:full --count 3 | tr '\n' ' ')" "1 2 3 "

# Without a timeout it waits for room.
start send mailbox:full "$room/five"
sender=$pid
until_true field_is mailbox:full '[p["activity"] for p in s["participants"]]' "['waits to send']"
same received "$(ginnel recv mailbox:full --count 5 | tr '\n' ' ')" "1 2 3 4 5 "
ended "$sender"
same "status of send" "$got" 0

# Capacity zero: nobody takes it, and it is withdrawn.
status 3 ginnel send mailbox:meet --capacity rendezvous --timeout 50ms "$room/five"
said "sent 0, stopped"
status 3 ginnel recv mailbox:meet --timeout 0

# What exists and what is asked for must agree.
status 1 ginnel send mailbox:full --capacity 4 "$room/five"
said "mailbox 'full': exists with capacity 3, asked for 4"
status 1 ginnel send mailbox:meet --capacity unbounded "$room/five"
said "mailbox 'meet': exists with capacity rendezvous, asked for unbounded"
