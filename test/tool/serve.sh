#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# serve, in message mode: several clients at once, a command that fails or is missing, and the end of serve itself.
. "$(dirname "$0")/common.sh"

listens() { ginnel ls | grep -q "^pipe *$1 "; }
lines() { [ "$(wc -l <"$2")" = "$1" ]; }

# Each client has a command of its own, all at a time: none ends before the last one has come.
mkdir "$room/in"
# shellcheck disable=SC2016
start serve pipe:all -- sh -c 'cat >"$0/$$"; mv "$0/$$" "$0/$$.done"' "$room/in"
server=$pid
until_true listens all
senders=
for each in 1 2 3 4 5; do
    mkfifo "$room/hold$each"
    { seq "${each}001" "${each}500" && cat "$room/hold$each"; } | ginnel send pipe:all &
    senders="$senders $!"
    started="$started $!"
done
arrived() { [ "$(cat "$room/in"/* 2>/dev/null | wc -l)" = 2500 ]; }
until_true arrived
same "commands at a time" "$(find "$room/in" -type f | wc -l)" 5
same "commands that have ended" "$(find "$room/in" -name '*.done' | wc -l)" 0
for each in 1 2 3 4 5; do
    : >"$room/hold$each"
done
for sender in $senders; do
    ended "$sender"
    same "a sender ends" "$got" 0
done
all_done() { [ "$(find "$room/in" -name '*.done' | wc -l)" = 5 ]; }
until_true all_done
for file in "$room/in"/*.done; do
    first=$(head -n 1 "$file")
    seq "$first" $((first + 499)) | cmp - "$file" || fail "a command has lines of several clients, or in another order"
done

# SIGTERM: serve dies of it, and its name is free.
kill -TERM "$server"
ended "$server"
same "serve ends" "$got" 143
listens all && fail "the name is there still"

# What a command writes are messages: each receiver gets its own command's, in order and whole.
# shellcheck disable=SC2016
start serve pipe:out -- sh -c 'echo $$; seq 2000; printf "no newline"'
server=$pid
until_true listens out
receivers=
for each in 1 2 3 4; do
    start_into "$room/out$each" recv pipe:out
    receivers="$receivers $pid"
done
for receiver in $receivers; do
    ended "$receiver"
    same "a receiver is told of the end" "$got" 4
done
{ seq 2000 && echo "no newline"; } >"$room/wanted"
for each in 1 2 3 4; do
    tail -n +2 "$room/out$each" | cmp - "$room/wanted" || fail "receiver $each: another text"
    head -n 1 "$room/out$each"
done >"$room/pids"
same "commands" "$(sort -u "$room/pids" | wc -l)" 4

# A client that goes away in the midst of it is nobody else's matter.
status 0 ginnel recv pipe:out --count 1
status 4 ginnel recv pipe:out
tail -n +2 "$room/out" | cmp - "$room/wanted" || fail "after one that went away: another text"
kill -TERM "$server"
ended "$server"

# A command that fails: its client is told of the end, the next ones are served.
# shellcheck disable=SC2016
start serve pipe:bad -- sh -c 'echo "$$" >>"$0"; echo before; exit 3' "$room/failed"
server=$pid
until_true listens bad
for each in 1 2 3; do
    status 4 ginnel recv pipe:bad
    same "what it wrote before it failed" "$(cat "$room/out")" before
done
same "times it was run" "$(wc -l <"$room/failed")" 3
kill -TERM "$server"
ended "$server"
same "serve ends" "$got" 143

# One that reads nothing and fails: the sender ends, told or not, and serve goes on.
start serve pipe:deaf -- false
server=$pid
until_true listens deaf
for each in 1 2; do
    got=0
    seq 100000 | ginnel send pipe:deaf 2>/dev/null || got=$?
    [ "$got" = 0 ] || [ "$got" = 4 ] || fail "send to a command that fails: exit status $got"
done
kill -0 "$server" || fail "serve has ended"
kill -TERM "$server"
ended "$server"
same "serve ends" "$got" 143

# SIGTERM while clients are there: they are told of the end, and the commands find the end of their input.
# shellcheck disable=SC2016
start serve pipe:end -- sh -c 'echo here; cat >/dev/null; echo "$$" >>"$0"' "$room/over"
server=$pid
until_true listens end
receivers=
for each in 1 2 3; do
    start_into "$room/here$each" recv pipe:end
    receivers="$receivers $pid"
done
for each in 1 2 3; do
    until_true lines 1 "$room/here$each"
done
[ ! -e "$room/over" ] || fail "a command has found the end of its input, and its client is there"
kill -TERM "$server"
ended "$server"
same "serve ends" "$got" 143
for receiver in $receivers; do
    ended "$receiver"
    same "a receiver is told of the end" "$got" 4
done
until_true lines 3 "$room/over"

# What a command writes when it has found the end still goes back; serve waits for that.
# shellcheck disable=SC2016
start serve pipe:last -- sh -c 'echo here; cat >/dev/null; sleep 0.3; seq 1000'
server=$pid
until_true listens last
start_into "$room/last" recv pipe:last
receiver=$pid
until_true lines 1 "$room/last"
kill -TERM "$server"
ended "$receiver"
same "a receiver is told of the end" "$got" 4
{ echo here && seq 1000; } | cmp - "$room/last" || fail "something is missing of what was written at the end"
ended "$server"
same "serve ends" "$got" 143

# Commands that ignore the end of their input, and SIGTERM, end all the same, and what they have started with them; the
# client that does not take what it is sent is waited for no longer.
cat >"$room/stubborn" <<'END'
trap '' TERM
setsid sh -c 'trap "" TERM; echo $$ >>"$0"; while :; do sleep 1000; done' "$1" &
echo $$ >>"$1"
echo here
while :; do sleep 1000; done
END
all_gone() { while read -r each; do ! [ -e "/proc/$each" ] || return 1; done <"$1"; }
start serve pipe:stubborn --grace 200ms -- sh "$room/stubborn" "$room/stubborn-pids"
server=$pid
until_true listens stubborn
for each in 1 2 3; do
    start_into "$room/stub$each" recv pipe:stubborn
done
until_true lines 6 "$room/stubborn-pids"
kill -TERM "$server"
ended "$server"
same "serve ends" "$got" 143
until_true all_gone "$room/stubborn-pids"

# Killed, or told twice, it leaves none either.
for signal in KILL TERM; do
    rm "$room/stubborn-pids"
    start serve "pipe:$signal" -- sh "$room/stubborn" "$room/stubborn-pids"
    server=$pid
    until_true listens "$signal"
    start_into "$room/stub" recv "pipe:$signal"
    until_true lines 2 "$room/stubborn-pids"
    kill "-$signal" "$server"
    free() { ! listens "$signal"; }
    [ "$signal" = KILL ] || until_true free
    kill "-$signal" "$server" 2>/dev/null || :
    ended "$server"
    until_true all_gone "$room/stubborn-pids"
done

# One that reads nothing, while much is sent, is no reason to wait either.
start serve pipe:full --grace 0s -- sleep 1000
server=$pid
until_true listens full
yes 'a line' | ginnel send pipe:full 2>/dev/null &
sender=$!
started="$started $sender"
sleeps_in_send() { [ "$(ginnel stat --json pipe:full >/dev/null && sed -n 's/^State:.\(.\).*/\1/p' "/proc/$sender/status")" = S ]; }
until_true sleeps_in_send
kill -TERM "$server"
ended "$server"
same "serve ends" "$got" 143
ended "$sender"
same "the sender is told" "$got" 4

# One that cannot be run: serve says so to the first who comes, and ends.
"$GINNEL" serve pipe:none -- "$room/no-such-command" 2>"$room/none" &
server=$!
started="$started $server"
until_true listens none
status 4 ginnel recv pipe:none
ended "$server"
same "serve of a missing command ends" "$got" 1
grep -q "cannot run '$room/no-such-command': No such file" "$room/none" || fail "it said: $(cat "$room/none")"

status 2 ginnel serve pipe:x
status 2 ginnel serve -- true
status 1 ginnel serve mailbox:x -- true
