#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Wrong usage: exit status 2, one line that names what is wrong and points to --help.
. "$(dirname "$0")/common.sh"

status 2 ginnel
said "see ginnel --help"
status 2 ginnel frobnicate
said "no command 'frobnicate'; see ginnel --help"
status 2 ginnel help frobnicate
status 2 ginnel --frobnicate
said "unknown option '--frobnicate'"
for command in send recv work ls stat rm; do
    status 2 ginnel $command --frobnicate mailbox:x
    said "^ginnel $command: unknown option '--frobnicate'; see ginnel $command --help$"
    status 2 ginnel $command -z mailbox:x
    said "unknown option '-z'"
done
for command in send recv work stat rm; do
    status 2 ginnel $command
    said "see ginnel $command --help"
done
status 2 ginnel recv mailbox:x mailbox:y
status 2 ginnel recv mailbox:x --timeout
said "option --timeout needs an argument"
for duration in '' s 5 -1s 1.5s 4x 1s2 ' 1s' 0x1s 99999999999999999999s 9223372037s 10000000000m; do
    status 2 ginnel recv mailbox:x "--timeout=$duration"
    said "option --timeout: '$duration' is not a duration such as 250ms, 4s or 2m; see"
done
for count in 0 -1 1k '' 18446744073709551616; do
    status 2 ginnel recv mailbox:x --count "$count"
    said "option --count: '$count' is not a whole number"
done
for size in 0 K 1T 18446744073709551615K 17179869184G; do
    status 2 ginnel send mailbox:x --size "$size"
    said "option --size: '$size' is not a number of bytes"
done
for capacity in 0 -1 16777217 many; do
    status 2 ginnel send mailbox:x --capacity "$capacity"
    said "option --capacity"
done
status 2 ginnel send mailbox:x --message-max 3G
status 2 ginnel send mailbox:x --mode 0888
status 2 ginnel send mailbox:x --mode 01777
status 2 ginnel send mailbox:x --side c
status 2 ginnel send mailbox:x --rate 0
status 2 ginnel send mailbox:x --null=yes
said "option --null takes no argument"
status 2 ginnel send mailbox:x --null --whole
status 2 ginnel send mailbox:x --whole --size 3
status 2 ginnel recv mailbox:x --null --raw
for letters in telegraph:x mailbox: .x 'a b'; do
    status 2 ginnel send mailbox:x --max-deliveries 3 --dead-letters "$letters"
    said "option --dead-letters: '$letters' is not a mailbox's name or address; see ginnel send --help$"
done

# An address that is none: the library explains it, and nothing is done, not even with the good ones beside it.
echo kept | ginnel send mailbox:kept
for command in send recv work ls stat rm; do
    after=
    [ $command != work ] || after='-- true'
    # shellcheck disable=SC2086 # words
    status 2 ginnel $command jobs $after
    said "^ginnel $command: address 'jobs': say the kind before a colon, as in mailbox:jobs; see ginnel $command --help$"
    # shellcheck disable=SC2086
    status 2 ginnel $command telegraph:x $after
    said "^ginnel $command: address 'telegraph:.*no such kind of address: there are mailbox:.*; see ginnel $command --help$"
    for name in '' .x x/y 'x y' ä /; do
        # shellcheck disable=SC2086
        status 2 ginnel $command "mailbox:$name" $after
        said "a name is 1 to 63 of"
    done
    same "output of $command" "$(cat "$room/out")" ""
done
status 2 ginnel rm mailbox:kept telegraph:x
status 2 ginnel ls mailbox:kept jobs
same "output of ls" "$(cat "$room/out")" ""
same "what there is" "$(ls "$GINNEL_DIR")" mailbox:kept

# Options and operands in any order; what comes after -- is no option.
echo x >"$room/--null"
cd "$room"
status 0 ginnel send --timeout 1s mailbox:x --capacity=3 -- --null
status 0 ginnel recv --count=1 mailbox:x
same received "$(cat "$room/out")" x

# One line, and nothing that a terminal obeys, whatever it is about.
status 2 ginnel send "$(printf 'mailbox:a\nb\033[31m')" /dev/null
same "lines" "$(wc -l <"$room/err")" 1
grep -q 'a?b?\[31m' "$room/err" || fail "control characters: $(cat "$room/err")"
