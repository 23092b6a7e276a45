#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# stat: all that is known of one, and who uses it; a dead one too.
. "$(dirname "$0")/common.sh"

seq 1 5 | ginnel send mailbox:s --capacity 9 --message-max 4K --max-deliveries 7 --dead-letters graves --mode 0620
# shellcheck disable=SC2016
start work mailbox:s -- sh -c 'echo $$ >"$0/new"; mv "$0/new" "$0/command"; exec sleep 300' "$room"
worker=$pid
until_true test -s "$room/command"
started="$started $(cat "$room/command")"

ginnel stat mailbox:s --json >"$room/json"
python3 - "$room/json" "$worker" <<'END'
import json, os, sys
s = json.load(open(sys.argv[1]))
assert s["address"] == "mailbox:s" and s["kind"] == "mailbox" and s["name"] == "s", s
assert (s["capacity"], s["message_max"], s["max_deliveries"], s["mode"]) == (9, 4096, 7, "0620"), s
assert s["dead_letters"] == "mailbox:graves" and s["two_way"] is False and s["owner_uid"] == os.getuid(), s
assert (s["queued"], s["held"], s["sent"], s["received"], s["users"], s["dead"]) == (4, 1, 5, 1, 1, 0), s
(p,) = s["participants"]
assert p["pid"] == int(sys.argv[2]) and p["alive"] is True and p["same_pid_namespace"] is True, p
assert (p["senders"], p["receivers"], p["held"], p["claimed"], p["sent"], p["received"]) == (0, 1, 1, 0, 0, 1), p
assert p["activity"] == "idle", p
END
ginnel stat mailbox:s >"$room/out"
same "text" "$(awk '$1 == "queued" || $1 == "capacity" || $1 == "mode" { print $2 }' "$room/out" | tr '\n' ' ')" "0620 9 4 "
same "the worker's row" "$(awk -v pid="$worker" '$1 == pid { print $3, $4, $5, $6, $7, $8, $9, $10 }' "$room/out")" "alive 0 1 0 1 0 1 -"

kill -KILL "$worker"
ended "$worker"
same "a dead one" "$(field mailbox:s 's["users"], s["dead"], [(p["alive"], p["held"]) for p in s["participants"]]')" "(0, 1, [(False, 1)])"
same "its row" "$(ginnel stat mailbox:s | awk -v pid="$worker" '$1 == pid { print $3, $7 }')" "dead 1"

# Whoever comes next mends what it left.
ginnel recv mailbox:s --count 5 >"$room/out"
same received "$(sort "$room/out" | tr '\n' ' ')" "1 2 3 4 5 "
same "nobody remains" "$(field mailbox:s 's["participants"]')" "[]"
status 1 ginnel stat mailbox:none
said "^ginnel stat: mailbox 'none': there is none of that name$"
