#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench pipeline measures, prints and keeps. No figure is judged; all of its rows take a minute.
. "$(dirname "$0")/common.sh"

cat >"$room/check.py" <<'END'
import json, sys

report = json.load(open(sys.argv[1]))
assert report["kind"] == "pipeline" and report["rounds"] == 1 and report["machine"]["cpu"], report
rows = {(row["what"], row["way"]): row for row in report["rows"]}
assert ("look", "look") in rows, rows
assert all(row["ns"] > 0 and row["time_of_first"] > 0 for row in report["rows"]), report
assert all(("bytes_per_second" in row) == (row["what"] in ("throughput", "sampling")) for row in report["rows"]), report
END

"$GINNEL" bench pipeline --quick --rounds 1 --only look --save "$room" --json >"$room/json" 2>"$room/err" ||
    fail "$(cat "$room/err")"
python3 "$room/check.py" "$room/json" || fail "the figures above"
cmp "$room/json" "$room/pipeline.json" || fail "what was kept is something else"
status 2 "$GINNEL" bench pipeline --only nonesuch
said "nothing that is measured has 'nonesuch' in its name"
