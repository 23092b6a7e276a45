#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run --watch: live on a terminal, as wide and as high as that is, taken away in the end; silent elsewhere.
. "$(dirname "$0")/common.sh"

escape=$(printf '\033')
seq 1 20000 >"$room/numbers"
mkfifo "$room/gate" "$room/keys"
exec 3<>"$room/gate" 4<>"$room/keys" # so that nobody waits for the other end

# on_terminal SETTINGS LINE: in the background; what comes on the screen is in $room/screen.
on_terminal() {
    : >"$room/screen"
    # What runs in a script's background ignores Ctrl-C, and so would the stages.
    script -qefc "stty $1; env --default-signal=INT,QUIT '$GINNEL' run --watch \"$2\"; echo status \$?" "$room/screen" \
        <&4 >/dev/null 2>&1 3<&- 4<&- &
    watcher=$!
    started="$started $watcher"
}

# The lines that were ever on it.
lines() {
    grep -v '^Script ' "$room/screen" | sed 's/\r/\n/g' | sed "s/$escape\[[0-9]*[A-Z]//g"
}
seen() {
    lines | grep -q -e "$1"
}
shows() {
    until_true seen "$1"
}
let_go() {
    echo >&3
    wait "$watcher" || :
    started=${started% "$watcher"}
}

# The second stage is what the others wait for, until it is let go.
slow="sh -c 'read x <$room/gate; exec head -c 1000'"

on_terminal 'cols 80 rows 24' "cat $room/numbers /dev/zero | $slow | wc -c > $room/count"
shows '^ 1 cat  *waits to write  *CPU'
shows '^ 2 sh  *sleeps  *CPU'
shows '^ 3 wc  *waits to read  *CPU'
shows '^    \[##########\] 100 % .*B/s'
shows '^    \[ *\]   0 % .*B/s'
shows 'bottleneck: sh (stage 2)'
let_go
grep -q "$escape\[Jstatus 0" "$room/screen" || fail "it is not taken away: $(cat -v "$room/screen")"
same "the data" "$(tr -d ' ' <"$room/count")" 1000

# How far the input is.
on_terminal 'cols 80 rows 24' "sh -c 'head -c 1000; read x <$room/gate' < $room/numbers | wc -c > $room/count"
shows 'input [1-9][0-9]* % of 109 kB'
let_go

# No line wraps, and the block fits.
on_terminal 'cols 20 rows 4' "cat /dev/zero | $slow | wc -c > $room/count"
shows '^ 1 cat'
let_go
! lines | grep -q '....................' || fail "a line wraps: $(cat -v "$room/screen")"
! grep -q "$escape\[[4-9]A" "$room/screen" || fail "more lines than rows: $(cat -v "$room/screen")"

# What a stage says is left to stand, on a line of its own.
on_terminal 'cols 80 rows 24' "cat /dev/zero | sh -c 'read x <$room/gate; echo oops >&2; read x <$room/gate' | cat"
shows '^ 1 cat  *waits to write'
echo >&3
shows '^oops$'
let_go

# Interrupted from the terminal: taken away, and the signal's end.
on_terminal 'cols 80 rows 24' "cat $room/gate | cat"
shows '^ 2 cat  *waits to read'
printf '\003' >&4
wait "$watcher" || :
seen '^status 130' || fail "another end: $(cat -v "$room/screen")"
grep -q "$escape\[J.*status" "$room/screen" || fail "it is not taken away: $(cat -v "$room/screen")"

# The terminal is closed: nothing is left that runs.
on_terminal 'cols 80 rows 24' "cat $room/gate | cat"
shows '^ 2 cat  *waits to read'
kill -KILL "$watcher"
wait "$watcher" || :
nobody_left() {
    ! grep -lq "$room/gate" /proc/[0-9]*/cmdline
}
until_true nobody_left

# A short one shows nothing, and neither does a pipe.
on_terminal 'cols 80 rows 24' "true | true"
wait "$watcher" || :
! seen 'bottleneck' || fail "a short one: $(cat -v "$room/screen")"
echo >&3
status 0 ginnel run --watch "cat /dev/zero | $slow | wc -c"
same "no terminal" "$(cat "$room/err")" ""
