#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A two-way mailbox: what one side sends, the other receives.
. "$(dirname "$0")/common.sh"

echo 'from a' | ginnel send mailbox:t --side a
echo 'from b' | ginnel send mailbox:t --side b
same "at b" "$(ginnel recv mailbox:t --side b --count 1)" "from a"
status 3 ginnel recv mailbox:t --side b --timeout 50ms
same "at a" "$(ginnel work mailbox:t --side a --count 1 -- cat)" "from b"
status 1 ginnel recv mailbox:t
said "mailbox 't': is two-way"
