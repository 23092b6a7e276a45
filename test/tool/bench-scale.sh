#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench --scale measures each curve, and leaves nothing behind. No figure is judged.
. "$(dirname "$0")/common.sh"

cat >"$room/check.py" <<'END'
import json, sys

report = json.load(open(sys.argv[1]))
counts = {"mailboxes": [1, 3, 10, 30, 100], "processes": [1, 2, 4, 8, 16],
          "queued": [1, 10, 100, 1000, 10000, 100000], "members": [1, 10, 100, 1000],
          "connections": [1, 10, 100, 1000]}
assert report["kind"] == "scale" and report["quick"] is True and report["machine"]["kernel"], report
assert set(report["curves"]) == set(counts), set(report["curves"])
for name, curve in report["curves"].items():
    assert [point["count"] for point in curve["points"]] == counts[name], (name, curve)
    for point in curve["points"]:
        assert 0 < point["low_ns"] <= point["ns"] <= point["high_ns"], (name, point)
END

"$GINNEL" bench --scale --quick --save "$room" --json >"$room/json" 2>"$room/err" || fail "$(cat "$room/err")"
python3 "$room/check.py" "$room/json" || fail "the figures above"
cmp "$room/json" "$room/scale.json" || fail "what was kept is something else"
if command -v gnuplot >/dev/null; then
    for curve in mailboxes processes queued members connections; do
        grep -q '<svg' "$room/scale-$curve.svg" || fail "no chart of $curve: $(cat "$room/err")"
    done
fi
"$GINNEL" bench --scale --quick --only queued >"$room/table"
grep -q '100000 messages queued' "$room/table" || fail "no row in: $(cat "$room/table")"
