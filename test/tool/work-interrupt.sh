#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SIGINT: what runs may finish; a second one terminates it, and its message is given back.
. "$(dirname "$0")/common.sh"

mkfifo "$room/go"
seq 1 2 | ginnel send mailbox:s
# shellcheck disable=SC2016
start work mailbox:s -- sh -c 'cat >"$0/running"; read -r _ <"$0/go"; cp "$0/running" "$0/done"' "$room"
until_true test -s "$room/running"
kill -INT "$pid"
# It takes no more, but it waits: what it holds it still holds.
sleep 0.3
kill -0 "$pid" || fail "it did not wait for its command"
same "held" "$(field mailbox:s 's["queued"], s["held"]')" "(1, 1)"
echo >"$room/go"
ended "$pid"
same "status of work: SIGINT's" "$got" 130
same "the command finished" "$(cat "$room/done")" 1
same "done, and no more taken" "$(field mailbox:s 's["queued"], s["held"], s["received"]')" "(1, 0, 1)"

rm "$room/running"
# shellcheck disable=SC2016
start work mailbox:s -- sh -c 'cat >"$0/running"; sleep 300' "$room" 2>"$room/err"
until_true test -s "$room/running"
kill -INT "$pid"
sleep 0.3
kill -INT "$pid"
ended "$pid"
same "status of work: SIGINT's" "$got" 130
grep -q 'sh: ended by signal 15; message given back' "$room/err" || fail "it said: $(cat "$room/err")"
same "given back" "$(field mailbox:s 's["queued"], s["held"]')" "(1, 0)"
same "by hand" "$(ginnel recv mailbox:s --info --count 1 | grep -c redelivered=yes)" 1

# Commands that heed nothing: a third signal kills them, and what they have started.
rm "$room/running"
cat >"$room/stubborn" <<'END'
trap '' TERM
setsid sh -c 'trap "" TERM; echo $$ >>"$0"; while :; do sleep 1000; done' "$1" &
cat >"$2"
echo $$ >>"$1"
while :; do sleep 1000; done
END
both() { [ "$(wc -l <"$room/pids")" = 2 ]; }
all_gone() { while read -r each; do ! [ -e "/proc/$each" ] || return 1; done <"$room/pids"; }
echo 3 | ginnel send mailbox:s
start work mailbox:s -- sh "$room/stubborn" "$room/pids" "$room/running" 2>"$room/err"
until_true both
told() {
    kill -INT "$pid" 2>/dev/null || :
    all_gone
}
until_true told
ended "$pid"
same "status of work: SIGINT's" "$got" 130
grep -q 'sh: ended by signal 9; message given back' "$room/err" || fail "it said: $(cat "$room/err")"
same "given back" "$(field mailbox:s 's["queued"], s["held"]')" "(1, 0)"
