#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# --rate: never faster than that.
. "$(dirname "$0")/common.sh"

seq 1 11 >"$room/numbers"
before=$(date +%s%N)
ginnel send mailbox:r --rate 20 "$room/numbers"
after=$(date +%s%N)
[ $((after - before)) -ge 500000000 ] || fail "11 messages at 20 a second took $(((after - before) / 1000000)) ms"
same sent "$(field mailbox:r 's["sent"]')" 11
