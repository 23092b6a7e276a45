#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench pipeline measures pipelines in each way. No figure is judged.
. "$(dirname "$0")/common.sh"

cat >"$room/check.py" <<'END'
import json, sys

report = json.load(open(sys.argv[1]))
assert report["kind"] == "pipeline" and report["rounds"] == 1 and report["machine"]["cpu"], report
rows = {(row["what"], row["way"]): row for row in report["rows"]}
wanted = {("start", "vfork"), ("start", "ginnel"), ("throughput", "by-hand-64k"), ("throughput", "by-hand-1m"),
          ("throughput", "ginnel"), ("sampling", "ginnel"), ("sampling", "watched"), ("look", "look")}
assert wanted <= set(rows), set(rows)
assert rows["start", "vfork"]["time_of_first"] == 1, rows
assert all(row["ns"] > 0 and row["time_of_first"] > 0 for row in report["rows"]), report
assert all(("bytes_per_second" in row) == (row["what"] in ("throughput", "sampling")) for row in report["rows"]), report
END

"$GINNEL" bench pipeline --quick --rounds 1 --save "$room" --json >"$room/json" 2>"$room/err" ||
    fail "$(cat "$room/err")"
python3 "$room/check.py" "$room/json" || fail "the figures above"
cmp "$room/json" "$room/pipeline.json" || fail "what was kept is something else"
"$GINNEL" bench pipeline --quick --rounds 1 --only start-large >"$room/table"
grep -q '^  ginnel .*x of vfork' "$room/table" || grep -q 'too little memory' "$room/table" ||
    fail "no row in: $(cat "$room/table")"
status 2 "$GINNEL" bench pipeline --only nonesuch
said "nothing that is measured has 'nonesuch' in its name"
