#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Started with its standard streams closed: nothing else gets their numbers, neither here nor in a command.
. "$(dirname "$0")/common.sh"

listens() { ginnel ls | grep -q "^pipe *$1 "; }
# shellcheck disable=SC2016
command='cat >"$0/input"; echo lost >&2 || :; readlink /proc/self/fd/2 >"$0/errors"; cat >>"$0/input"'

# What a command says on errors does not end up in its message.
echo precious | ginnel send mailbox:c
"$GINNEL" work mailbox:c --count 1 -- sh -c "$command" "$room" <&- >&- 2>&- || fail "work: exit status $?"
same "the message" "$(cat "$room/input")" precious
same "errors" "$(cat "$room/errors")" /dev/null

# The same with serve, whose connections go on.
"$GINNEL" serve pipe:c -- sh -c "$command" "$room" <&- >&- 2>&- &
server=$!
started="$started $server"
until_true listens c
rm "$room/errors"
echo precious | ginnel send pipe:c
until_true test -s "$room/errors"
same "the message" "$(cat "$room/input")" precious
same "errors" "$(cat "$room/errors")" /dev/null
kill -TERM "$server"
ended "$server"
same "serve ends" "$got" 143

# What is read or written there is an error, as of a closed one.
echo precious | ginnel send mailbox:c
closed() {
    name=$1
    shift
    status 1 sh -c "\"\$@\" $name" sh "$GINNEL" "$@"
}
closed '<&-' send mailbox:c
said "standard input: Bad file descriptor"
closed '>&- <&-' recv mailbox:c
said "standard output: Bad file descriptor"
closed '>&- <&-' ls
said "standard output: Bad file descriptor"
same "what remains" "$(ginnel recv mailbox:c --count 1 </dev/null)" precious
