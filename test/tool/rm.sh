#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rm: one that is not there does not keep the others; who waits on one learns that it is gone.
. "$(dirname "$0")/common.sh"

: | ginnel send mailbox:a
: | ginnel send mailbox:b
status 1 ginnel rm mailbox:a mailbox:none mailbox:b
said "^ginnel rm: mailbox 'none': there is none of that name$"
status 1 ginnel stat mailbox:a
status 1 ginnel stat mailbox:b
status 0 ginnel send mailbox:a /dev/null
status 0 ginnel rm mailbox:a

start recv mailbox:w 2>"$room/err"
until_true field_is mailbox:w '[p["activity"] for p in s["participants"]]' "['waits to receive']"
ginnel rm mailbox:w
ended "$pid"
same "status of recv" "$got" 4
said "^ginnel recv: mailbox 'w': removed$"

seq 1 9 >"$room/numbers"
start send mailbox:w --capacity 2 "$room/numbers" 2>"$room/err"
sender=$pid
full() { field_is mailbox:w '[p["activity"] for p in s["participants"]]' "['waits to send']"; }
until_true full
ginnel rm mailbox:w
ended "$sender"
same "status of send" "$got" 4
said "^ginnel send: mailbox 'w': removed; sent 2, stopped at .*/numbers: line 3$"
