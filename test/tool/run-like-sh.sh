#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run does as dash does, for some hundred lines that both can run: output, status and files.
. "$(dirname "$0")/common.sh"

python3 "$(dirname "$0")/like_sh.py" "$GINNEL" 300 >"$room/out" 2>&1 || fail "$(cat "$room/out")"
grep -q '^300 lines, 0 differ, 0 refused$' "$room/out" || fail "$(cat "$room/out")"
