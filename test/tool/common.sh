#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What every scenario begins with: a runtime directory of its own, and words to check with. A
# scenario is run with $GINNEL, the tool's path. Everything that it starts with `start` ends with it.
set -eu

room=$(mktemp -d /dev/shm/ginnel-scenario.XXXXXX)
export GINNEL_DIR="$room/names"
mkdir -m 0700 "$GINNEL_DIR"
started=
cleanup() {
    trap '' INT TERM HUP # a second signal must not end this
    for pid in $started; do
        # The commands of a worker are process groups of their own, and children of its keepers.
        keepers=$(cat "/proc/$pid/task/"*/children 2>/dev/null) || :
        for keeper in $keepers; do
            commands=$(cat "/proc/$keeper/task/"*/children 2>/dev/null) || :
            for command in $commands; do
                kill -KILL -- "-$command" 2>/dev/null || :
            done
        done
        kill -KILL "$pid" 2>/dev/null || :
    done
    rm -rf "$room"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

ginnel() { "$GINNEL" "$@"; }

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# Starts the tool in the background; its number is in $pid.
start() {
    "$GINNEL" "$@" &
    pid=$!
    started="$started $pid"
}

# start_into FILE ARGUMENT...: the same, with its standard output; a pipe is opened there, not here.
start_into() {
    file=$1
    shift
    "$GINNEL" "$@" >"$file" &
    pid=$!
    started="$started $pid"
}

# same WHAT GOT WANTED
same() {
    [ "$2" = "$3" ] || fail "$1: got '$2', wanted '$3'"
}

# status WANTED COMMAND...: its exit status, and what it says in $room/out and $room/err.
status() {
    wanted=$1
    shift
    got=0
    "$@" >"$room/out" 2>"$room/err" || got=$?
    [ "$got" = "$wanted" ] || fail "$*: exit status $got, wanted $wanted; it said: $(cat "$room/err")"
}

# ended PID: waits for it; its exit status in $got.
ended() {
    got=0
    wait "$1" || got=$?
}

# said PATTERN: one line on standard error, and it matches.
said() {
    same "lines on standard error" "$(wc -l <"$room/err")" 1
    grep -q -e "$1" "$room/err" || fail "it said '$(cat "$room/err")', not '$1'"
}

# until_true COMMAND...: waits until it succeeds, for 30 seconds at most.
until_true() {
    deadline=$(($(date +%s) + 30))
    until "$@" 2>/dev/null; do
        [ "$(date +%s)" -lt $deadline ] || fail "waited in vain for: $*"
        sleep 0.05
    done
}

# field ADDRESS EXPRESSION: of `ginnel stat --json`, as Python sees it: s["queued"]
field() {
    ginnel stat --json "$1" | python3 -c 'import json, sys; s = json.load(sys.stdin); print(('"$2"'))'
}

# field_is ADDRESS EXPRESSION VALUE
field_is() {
    [ "$(field "$1" "$2")" = "$3" ]
}
