#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Help for each subcommand, on standard output; each is listed, and each option has a page that knows it.
. "$(dirname "$0")/common.sh"

status 0 ginnel --help
cp "$room/out" "$room/all"
ginnel help | cmp - "$room/all"
for command in send recv work serve ls stat rm segment kill doctor; do
    grep -q "^  $command  *[a-z]" "$room/all" || fail "'$command' is not listed"
    status 0 ginnel $command --help
    same "standard error" "$(cat "$room/err")" ""
    head -n 1 "$room/out" | grep -q "^Usage: ginnel $command \[OPTION" || fail "$command: no usage"
    ginnel help $command | cmp - "$room/out"
    page=$PAGES/ginnel-$command.1
    sed -n 's/^  --\([a-z-]*\).*/\1/p' "$room/out" >"$room/options"
    grep -q help "$room/options" || fail "$command: no options"
    while read -r option; do
        sed 's/\\-/-/g' "$page" | grep -q -e "--$option" || fail "$page says nothing of --$option"
    done <"$room/options"
done
ginnel --version | grep -q '^ginnel [0-9]*\.[0-9]*\.[0-9]*$' || fail "version: $(ginnel --version)"
