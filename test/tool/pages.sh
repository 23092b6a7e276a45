#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual pages are free of warnings.
. "$(dirname "$0")/common.sh"

for page in "$PAGES"/ginnel.1 "$PAGES"/ginnel-send.1 "$PAGES"/ginnel-recv.1 "$PAGES"/ginnel-work.1 "$PAGES"/ginnel-serve.1 "$PAGES"/ginnel-ls.1 \
    "$PAGES"/ginnel-stat.1 "$PAGES"/ginnel-rm.1 "$PAGES"/ginnel-kill.1 "$PAGES"/ginnel-doctor.1; do
    LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l "$page" >"$room/out" 2>"$room/err"
    same "warnings in $page" "$(cat "$room/err")" ""
    for section in NAME SYNOPSIS DESCRIPTION 'EXIT STATUS' EXAMPLES 'SEE ALSO'; do
        grep -q "^$section" "$room/out" || fail "$page has no $section"
    done
done
