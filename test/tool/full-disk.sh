#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What cannot be written is reported, and a message that was not written is not done.
. "$(dirname "$0")/common.sh"

seq 1 100 | ginnel send mailbox:f
into_full() {
    "$GINNEL" "$@" >/dev/full
}
for command in "recv mailbox:f" "recv mailbox:f --count 1 --info" "ls" "ls --json" "stat mailbox:f" "stat mailbox:f --json" \
    "--help" "--version" "help send" "rm --help"; do
    # shellcheck disable=SC2086
    status 1 into_full $command
    said "standard output: No space left on device"
done
same "given back" "$(field mailbox:f 's["queued"], s["held"]')" "(100, 0)"
same "all there" "$(ginnel recv mailbox:f --count 100 | sort -n | tr '\n' ' ')" "$(seq 1 100 | tr '\n' ' ')"

echo 1 | ginnel send mailbox:f
closed() { "$GINNEL" recv mailbox:f >&-; }
status 1 closed
said "standard output: Bad file descriptor"
same "given back" "$(field mailbox:f 's["queued"], s["held"]')" "(1, 0)"
