#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Lines arrive as they were: empty ones, bytes that are no text, a last one without a newline.
. "$(dirname "$0")/common.sh"

printf 'one\n\n  three \001\377\200\r\n\n' >"$room/first"
printf 'four\nfive' >"$room/second"
ginnel send mailbox:lines "$room/first" "$room/second"
same queued "$(field mailbox:lines 's["queued"]')" 6
ginnel recv mailbox:lines --count 6 >"$room/got"
{ cat "$room/first" "$room/second"; echo; } | cmp - "$room/got"

# Standard input: without a name, and by its name between two files.
printf 'a\nb\n' | ginnel send mailbox:lines
printf 'middle\n' | ginnel send mailbox:lines "$room/second" - "$room/second"
same "from standard input" "$(ginnel recv mailbox:lines --count 7 | tr '\n' ' ')" "a b four five middle four five "

: | ginnel send mailbox:lines
status 3 ginnel recv mailbox:lines --timeout 0
