#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker killed while its command runs: the message comes again to another worker.
. "$(dirname "$0")/common.sh"

echo precious | ginnel send mailbox:v
# shellcheck disable=SC2016
start work mailbox:v -- sh -c 'echo $$ >"$0/new"; mv "$0/new" "$0/command"; exec sleep 300' "$room"
until_true test -s "$room/command"
command=$(cat "$room/command")
started="$started $command"
same "held" "$(field mailbox:v 's["queued"], s["held"]')" "(0, 1)"
kill -KILL "$pid"
ended "$pid"
# shellcheck disable=SC2016
ginnel work mailbox:v --count 1 -- sh -c 'echo "$(cat) $GINNEL_DELIVERIES"' >"$room/out"
same "delivered again" "$(cat "$room/out")" "precious 2"
kill -0 "$command" || fail "the first command ended with its worker"
kill -TERM "$command"
