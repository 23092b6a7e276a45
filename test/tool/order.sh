#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A small mailbox between a fast sender and a receiver: first in, first out, nothing missing.
. "$(dirname "$0")/common.sh"

seq 1 50000 >"$room/numbers"
start_into "$room/got" recv mailbox:order --capacity 8 --count 50000
receiver=$pid
ginnel send mailbox:order --capacity 8 "$room/numbers"
ended "$receiver"
same "status of recv" "$got" 0
cmp "$room/numbers" "$room/got"
