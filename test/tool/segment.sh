#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# segment: made, written, read, watched, shown and removed; killed inside, and mended.
. "$(dirname "$0")/common.sh"

status 0 ginnel segment create s 100K --mode 0640
status 1 ginnel segment create s 100K
said "^ginnel segment: segment 's': the name exists already$"
printf 'hello' | ginnel segment write s
printf 'world' >"$room/world"
ginnel segment write segment:s --offset 5 "$room/world"
same "read" "$(ginnel segment read s --size 10)" helloworld
same "from the middle" "$(ginnel segment read s --offset 3 --size 4)" lowo
same "all of it" "$(ginnel segment read s | wc -c)" 102400
status 1 ginnel segment read s --offset 100K --size 1
said "there are none"
status 1 ginnel segment write s --offset 102398 "$room/world"
said "does not fit in"
same "nothing of that was written" "$(ginnel segment read s --offset 102398 | od -An -tx1)" " 00 00"
status 1 ginnel segment read none
said "^ginnel segment: segment 'none': there is none of that name$"

# What people and programs are shown.
ginnel segment info s >"$room/out"
same "info" "$(awk '$1 == "size" || $1 == "version" || $1 == "mode" || $1 == "locked" { print $2 }' "$room/out" | tr '\n' ' ')" "0640 102400 2 no "
ginnel stat segment:s | cmp - "$room/out"
same "in JSON" "$(field segment:s '[s[k] for k in ("kind", "size", "version", "locked", "users")], "queued" in s')" "(['segment', 102400, 2, False, 0], False)"
same "row of ls" "$(ginnel ls segment:s | awk 'NR > 1 { print $1, $2, $4, $5, $6, $7, $9 }')" "segment s 0640 - - - 0"
ginnel ls | grep -q '^segment  *s ' || fail "ls does not list it"

# Watching: a line a change.
start_into "$room/changes" segment watch s --count 2
watching=$pid
until_true field_is segment:s 's["users"]' 1
same "who watches" "$(field segment:s '[(p["pid"], p["writes"], p["alive"]) for p in s["participants"]]')" "[($watching, False, True)]"
printf a | ginnel segment write s
until_true grep -q 3 "$room/changes"
printf b | ginnel segment write s
ended "$watching"
same "status of watch" "$got" 0
same "versions" "$(tr '\n' ' ' <"$room/changes")" "3 4 "
status 3 ginnel segment watch s --timeout 50ms
start segment watch s 2>"$room/err"
until_true field_is segment:s 's["users"]' 1

# The doctor knows what it is, and nothing is wrong with it.
status 0 ginnel doctor
ginnel rm segment:s
ended "$pid"
same "status of watch when it is removed" "$got" 4
said "^ginnel segment: it was removed$"

# One who may write to it was killed: the doctor names it, and sweeps what is left of it.
ginnel segment create dying 4K
mkfifo "$room/input"
"$GINNEL" segment write dying <"$room/input" &
killed=$!
started="$started $killed"
exec 3>"$room/input"
until_true field_is segment:dying 's["users"]' 1
status 0 ginnel doctor
kill -KILL "$killed"
ended "$killed"
exec 3>&-
same "who is dead" "$(field segment:dying '[(p["pid"], p["writes"], p["alive"]) for p in s["participants"]]')" "[($killed, True, False)]"
status 1 ginnel doctor
grep -q "^problem  *segment:dying: 1 dead and not yet swept: pid $killed$" "$room/out" || fail "the doctor: $(cat "$room/out")"
status 0 ginnel doctor --clean
grep -q "^cleaned  *segment:dying: 1 dead: pid $killed: swept" "$room/out" || fail "the doctor: $(cat "$room/out")"
same "after the mending" "$(field segment:dying 'len(s["participants"])')" 0
status 0 ginnel doctor
ginnel rm segment:dying

# One was killed while it had it locked, half done: the doctor says so, and so does whoever reads, until somebody
# has locked it and made it whole again.
ginnel segment create locked 4K
printf 'before' | ginnel segment write locked
"${HOLDER:-$(dirname "$GINNEL")/../test/tool/segment_holder}" locked >"$room/holder" &
killed=$!
started="$started $killed"
until_true grep -q locked "$room/holder"
same "it is locked" "$(field segment:locked 's["locked"]')" True
status 3 ginnel segment read locked --size 6 --timeout 50ms
status 0 ginnel doctor
kill -KILL "$killed"
ended "$killed"
status 1 ginnel doctor
grep -q "^problem  *segment:locked: 1 dead and not yet swept: pid $killed (has it locked)$" "$room/out" || fail "the doctor: $(cat "$room/out")"
status 1 ginnel segment read locked --size 6
said "a writer died inside: what was read may be half-changed"
same "what is read all the same" "$(cat "$room/out")" halfre
status 0 ginnel doctor --clean
grep -q "^cleaned  *segment:locked: .* whoever locks it next is told if one died inside" "$room/out" || fail "the doctor: $(cat "$room/out")"
status 0 ginnel doctor
status 1 ginnel segment read locked --size 6
said "a writer died inside"
printf 'whole!' | status 0 ginnel segment write locked
said "its last writer died inside"
status 0 ginnel segment read locked --size 6
same "mended" "$(cat "$room/out")" 'whole!'
ginnel rm segment:locked

# Nobody has it: a note. Damaged: the doctor removes it.
ginnel segment create t 4K
ginnel doctor >"$room/out"
grep -q 'segment:t: nobody has it attached' "$room/out" || fail "the doctor says nothing of an idle one"
truncate -s 4096 "$GINNEL_DIR/segment:t"
status 1 ginnel segment read t
said "truncated"
status 1 ginnel doctor
status 0 ginnel doctor --clean
[ ! -e "$GINNEL_DIR/segment:t" ] || fail "the doctor left a damaged segment"

# Several at once; usage.
ginnel segment create a 1
ginnel segment create b 1
status 1 ginnel segment rm a none b
same "nothing is left" "$(ls "$GINNEL_DIR")" ""
for wrong in "" "frobnicate a" "create a" "create a 0" "create a 1 2" "info" "read a b" "write a b c" "read .a" "rm" \
    "read tcp:x" "read a --size x"; do
    # shellcheck disable=SC2086
    status 2 ginnel segment $wrong
done
