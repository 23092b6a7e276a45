#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SIGINT and SIGTERM end send, whatever it waits for: it says how many messages went, and so many have.
. "$(dirname "$0")/common.sh"

# start_send ARGUMENT...: its standard error goes to $room/err.
start_send() {
    "$GINNEL" send "$@" 2>"$room/err" &
    pid=$!
    started="$started $pid"
}

# A full mailbox.
seq 1 10 >"$room/numbers"
start_send mailbox:full --capacity 4 "$room/numbers"
until_true field_is mailbox:full '[p["activity"] for p in s["participants"]]' "['waits to send']"
kill -INT "$pid"
ended "$pid"
same "status: SIGINT's" "$got" 130
said "^ginnel send: interrupted; sent 4, stopped at $room/numbers: line 5$"
same "what went" "$(ginnel recv mailbox:full --count 4 | tr '\n' ' ')" "1 2 3 4 "
same "users, messages" "$(field mailbox:full 's["users"], s["dead"], s["queued"]')" "(0, 0, 0)"

# A file that gives no more for now.
mkfifo "$room/pipe"
"$GINNEL" send mailbox:pipe <"$room/pipe" 2>"$room/err" &
pid=$!
started="$started $pid"
exec 3>"$room/pipe"
printf 'one\ntwo\nthree\nfou' >&3
until_true field_is mailbox:pipe 's["sent"]' 3
kill -TERM "$pid"
ended "$pid"
exec 3>&-
same "status: SIGTERM's" "$got" 143
said "^ginnel send: interrupted; sent 3, stopped at standard input: line 4$"
same "queued" "$(field mailbox:pipe 's["queued"]')" 3

# Its turn has not come.
start_send mailbox:rate --rate 1 --whole "$room/numbers" "$room/numbers" "$room/numbers" "$room/numbers"
until_true field_is mailbox:rate 's["sent"]' 1
kill -INT "$pid"
ended "$pid"
same "status: SIGINT's" "$got" 130
said "^ginnel send: interrupted; sent 1, stopped at $room/numbers$"
