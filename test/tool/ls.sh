#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ls: a table for people, and JSON.
. "$(dirname "$0")/common.sh"

status 0 ginnel ls
same "nothing yet" "$(cat "$room/out")" ""
same "nothing yet, JSON" "$(ginnel ls --json | python3 -c 'import json, sys; print([x for x in json.load(sys.stdin) if not x["name"].startswith("/")])')" "[]"
seq 1 7 | ginnel send mailbox:b --mode 0640
: | ginnel send mailbox:a --capacity unbounded
: | ginnel send mailbox:c --capacity rendezvous
start recv mailbox:a
until_true field_is mailbox:a 's["users"]' 1

ginnel ls mailbox:a mailbox:b mailbox:c >"$room/out"
me=$(id -un)
same titles "$(sed -n 1p "$room/out" | tr -s ' ')" "KIND NAME OWNER MODE QUEUED HELD CAPACITY BYTES USERS"
same "row of a" "$(awk '$2 == "a" { print $1, $3, $4, $5, $6, $7, $9 }' "$room/out")" "mailbox $me 0600 0 0 unbounded 1"
same "row of b" "$(awk '$2 == "b" { print $1, $3, $4, $5, $6, $7, $9 }' "$room/out")" "mailbox $me 0640 7 0 1024 0"
same "row of c" "$(awk '$2 == "c" { print $7 }' "$room/out")" rendezvous
ginnel ls | head -n 4 >"$room/all"
cut -c 1-20 "$room/out" | cmp - "$room/all" 2>/dev/null || grep -q '^mailbox  c ' "$room/all" || fail "without addresses: $(cat "$room/all")"

# BYTES, here and in stat, are those that the file occupies.
occupied=$(($(stat -c '%b * %B' "$GINNEL_DIR/mailbox:b")))
same "bytes of b" "$(awk '$2 == "b" { print $8 }' "$room/out")" "$occupied"
same "bytes of b, stat" "$(ginnel stat mailbox:b | awk '$1 == "bytes" { print $2 }')" "$occupied"
[ "$occupied" -lt 524288 ] || fail "a default mailbox with 7 messages occupies $occupied bytes"

ginnel ls --json >"$room/json"
python3 - "$room/json" <<'END'
import json, os, sys
listed = {x["address"]: x for x in json.load(open(sys.argv[1]))}
a, b, c = (listed["mailbox:" + name] for name in "abc")
assert (a["kind"], a["name"], a["capacity"], a["users"], a["receivers"]) == ("mailbox", "a", "unbounded", 1, 1), a
assert (b["queued"], b["held"], b["capacity"], b["mode"], b["sent"]) == (7, 0, 1024, "0640", 7), b
assert b["owner_uid"] == os.getuid() and b["bytes"] > 0 and b["message_max"] == 1 << 20, b
assert c["capacity"] == "rendezvous" and c["users"] == 0, c
END

# One that is not there: the others are listed all the same.
status 1 ginnel ls mailbox:none mailbox:b
said "^ginnel ls: mailbox 'none': there is none of that name$"
same "rows" "$(wc -l <"$room/out")" 2

# None of them is there: no titles over nothing, and JSON all the same.
status 1 ginnel ls mailbox:none
same "nothing" "$(cat "$room/out")" ""
status 1 ginnel ls --json mailbox:none
same "nothing, JSON" "$(python3 -c 'import json, sys; print(json.load(sys.stdin))' <"$room/out")" "[]"
