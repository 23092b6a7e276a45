#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files that cannot be sent: a clear complaint; what went before it has gone.
. "$(dirname "$0")/common.sh"

{ echo one; head -c 200 /dev/zero | tr '\0' x; echo; echo three; } >"$room/long"
status 1 ginnel send mailbox:e --message-max 100 "$room/long"
said "^ginnel send: .*/long: line 2 is longer than the mailbox's message_max of 100 bytes; sent 1$"
status 1 ginnel send mailbox:e --whole "$room/long"
said "^ginnel send: .*/long is longer than the mailbox's message_max of 100 bytes; sent 0$"
status 1 ginnel send mailbox:e --null "$room/long"
said ".*/long: message 1 is longer than"
status 1 ginnel send mailbox:e --size 101 "$room/long"
said "size 101 is more than the mailbox's message_max of 100 bytes"
echo fine >"$room/fine"
status 1 ginnel send mailbox:e "$room/fine" "$room/absent" "$room/fine"
said "^ginnel send: .*/absent: No such file or directory; sent 1$"
status 1 ginnel send mailbox:e "$room/fine" "$room"
said "Is a directory; sent 1$"
same "what went" "$(ginnel recv mailbox:e --count 3 | tr '\n' ' ')" "one fine fine "
status 3 ginnel recv mailbox:e --timeout 0

# A line as long as the mailbox allows, and no terminator.
head -c 100 /dev/zero | tr '\0' x | ginnel send mailbox:e
same "length of the longest" "$(ginnel recv mailbox:e --raw --count 1 | wc -c)" 100
