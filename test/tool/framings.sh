#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every framing, with bytes of all kinds: what goes in comes out.
. "$(dirname "$0")/common.sh"

head -c 300000 /dev/urandom >"$room/random"

ginnel send --whole mailbox:x "$room/random" /dev/null
ginnel recv --raw --count 1 mailbox:x | cmp - "$room/random"
same "an empty file is an empty message" "$(ginnel recv --info --count 1 mailbox:x | sed -n 's/.* \(size=[0-9]*\) .*/\1/p')" size=0

ginnel send --size 4096 mailbox:x "$room/random"
same pieces "$(field mailbox:x 's["queued"]')" 74
ginnel recv --raw --count 74 mailbox:x | cmp - "$room/random"
ginnel send --size 4K mailbox:x "$room/random"
same "pieces of 4K" "$(field mailbox:x 's["queued"]')" 74
ginnel rm mailbox:x

printf 'one\ntwo\0\0three\0' >"$room/zeros"
ginnel send --null mailbox:x "$room/zeros"
same "messages that end in a zero byte" "$(field mailbox:x 's["queued"]')" 3
ginnel recv --null --count 3 mailbox:x | cmp - "$room/zeros"

# Random bytes as lines, the longest of which the mailbox just takes.
{ cat "$room/random"; echo; head -c 1000000 /dev/zero | tr '\0' x; echo; } >"$room/lines"
lines=$(wc -l <"$room/lines")
ginnel send --capacity unbounded mailbox:y "$room/lines"
same lines "$(field mailbox:y 's["queued"]')" "$lines"
ginnel recv --count "$lines" mailbox:y | cmp - "$room/lines"
