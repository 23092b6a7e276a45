#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Completion in bash: subcommands, options, addresses.
. "$(dirname "$0")/common.sh"

: | ginnel send mailbox:alpha
: | ginnel send mailbox:beta
mkdir "$room/bin"
ln -s "$GINNEL" "$room/bin/ginnel"
cat >"$room/complete" <<'END'
source "$COMPLETION"
COMP_LINE=$1 COMP_POINT=${#1}
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_ginnel
echo "${COMPREPLY[*]}"
END
completed() {
    PATH="$room/bin:$PATH" bash "$room/complete" "$@"
}
same "subcommands" "$(completed 'ginnel s' ginnel s)" "send serve stat segment"
same "of help" "$(completed 'ginnel help r' ginnel help r)" "recv run rm"
same "options" "$(completed 'ginnel recv --ti' ginnel recv --ti)" "--timeout"
same "options with digits" "$(completed 'ginnel recv --tls-1' ginnel recv --tls-1)" "--tls-1.2"
same "addresses" "$(completed 'ginnel recv mail' ginnel recv mail)" "mailbox:alpha mailbox:beta"
same "after the colon" "$(completed 'ginnel recv mailbox:a' ginnel recv mailbox : a)" "alpha"
