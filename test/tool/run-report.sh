#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run --report and --json: what each stage did, what passed, who was waited for; "unknown" where that is so.
. "$(dirname "$0")/common.sh"

seq 1 400000 >"$room/numbers"
size=$(wc -c <"$room/numbers")

# Of the JSON, the last line of standard error, as Python sees it: r["seconds"]
report() {
    tail -n 1 "$room/err" | python3 -c 'import json, sys; r = json.loads(sys.stdin.read()); print(('"$1"'))'
}

# Who is slow is named, wherever it stands.
status 0 ginnel run --json "gzip -9 < $room/numbers | cat | wc -c"
same "the first is slow" "$(report 'r["bottleneck"]["at"], r["bottleneck"]["stage"]')" "('stage', 1)"
status 0 ginnel run --json "cat $room/numbers | gzip -9 | wc -c"
same "the second is slow" "$(report 'r["bottleneck"]["at"], r["bottleneck"]["stage"]')" "('stage', 2)"
status 0 ginnel run --json "cat $room/numbers | cat | gzip -9 > $room/small"
same "the third is slow" "$(report 'r["bottleneck"]["at"], r["bottleneck"]["stage"]')" "('stage', 3)"
same "shares" "$(report 'all(0 <= s[k] <= 1 for s in r["stages"] for k in ("busy", "reading", "writing"))')" True
same "names" "$(report '[s["command"] for s in r["stages"]]')" "['cat', 'cat', 'gzip']"
same "ends" "$(report '[s["exited"] for s in r["stages"]]')" "[0, 0, 0]"
same "its memory" "$(report 'r["stages"][2]["peak_bytes"] > 100000')" True
same "its time" "$(report '0 < r["stages"][2]["user_seconds"] < r["seconds"] + 1')" True
same "the input" "$(report 'r["input"] is None or r["input"]["size"]')" "$size"

# The data are not the report's, and a number is right or unknown.
status 0 ginnel run --json "cat $room/numbers | wc -c"
same "standard output" "$(cat "$room/out")" "$size"
same "bytes" "$(report 'r["pipes"][0]["bytes"] in (None, '"$size"') and r["pipes"][0]["bytes_at_most"] >= '"$size")" True

# It has something else to write to: no number is made up.
status 0 ginnel run --json "sh -c 'exec 3>>/dev/null; read x <&3; exec cat $room/numbers' | gzip -9 | wc -c"
same "unknown" "$(report 'r["pipes"][0]["bytes"]')" None

# A reader that goes away early.
status 0 ginnel run --json "yes | head -n 1"
same "signal" "$(report 'r["stages"][0]["signal"], r["stages"][0]["exited"], r["stages"][1]["exited"]')" "(13, None, 0)"

# A single stage has no pipes.
status 3 ginnel run --json "sh -c 'exit 3'"
same "one" "$(report 'len(r["stages"]), r["pipes"], r["stages"][0]["exited"]')" "(1, [], 3)"

# Who gives the input is not a stage.
mkfifo "$room/in"
exec 3<>"$room/in"
"$GINNEL" run --json 'cat | cat' <"$room/in" >/dev/null 2>"$room/err" 3<&- &
pid=$!
started="$started $pid"
# Each look is a sleep before it; three are enough, and some more come of starting.
has_looked() {
    [ "$(sed -n 's/^voluntary_ctxt_switches:\t//p' "/proc/$pid/status")" -ge 16 ]
}
until_true has_looked
exec 3<&-
ended "$pid"
same "status" "$got" 0
same "the input is slow" "$(report 'r["bottleneck"]["at"], r["bottleneck"]["stage"]')" "('input', None)"

# Nor who takes the output.
mkfifo "$room/taken"
exec 3<>"$room/taken"
"$GINNEL" run --json 'cat /dev/zero | head -c 500000' >"$room/taken" 2>"$room/err" 3<&- &
pid=$!
started="$started $pid"
until_true has_looked
head -c 500000 <"$room/taken" | wc -c >"$room/count"
exec 3<&-
ended "$pid"
same "status" "$got" 0
same "all came" "$(tr -d ' ' <"$room/count")" 500000
same "the output is slow" "$(report 'r["bottleneck"]["at"], r["bottleneck"]["stage"]')" "('output', None)"

# For people.
status 0 ginnel run --report "cat $room/numbers | gzip -9 | wc -c"
grep -q '^STAGE  COMMAND ' "$room/err" || fail "no table: $(cat "$room/err")"
grep -q '^ *2  gzip  *0 ' "$room/err" || fail "no row: $(cat "$room/err")"
grep -q 'bottleneck: gzip (stage 2)' "$room/err" || fail "no bottleneck: $(cat "$room/err")"
status 0 ginnel run "cat $room/numbers | wc -c"
same "no report was asked for" "$(cat "$room/err")" ""
