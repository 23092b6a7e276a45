#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A command that cannot be run: a clear complaint, and the message is given back.
. "$(dirname "$0")/common.sh"

echo x | ginnel send mailbox:m
status 1 ginnel work mailbox:m --jobs 3 -- "$room/absent"
said "^ginnel work: cannot run '.*/absent': No such file or directory; message given back$"
echo 'not a program' >"$room/file"
status 1 ginnel work mailbox:m -- "$room/file"
said "cannot run '.*/file': Permission denied"
same "given back" "$(field mailbox:m 's["queued"], s["held"]')" "(1, 0)"
status 2 ginnel work mailbox:m
said "no command given"
status 2 ginnel work mailbox:m --
said "no command given"
status 2 ginnel work -- true
said "one ADDRESS"
