#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench spawn measures each way to start a program. No figure is judged.
. "$(dirname "$0")/common.sh"

cat >"$room/check.py" <<'END'
import json, sys

report = json.load(open(sys.argv[1]))
assert report["kind"] == "spawn" and report["rounds"] == 1 and report["machine"]["cpu"], report
ways = {"vfork", "ginnel", "ginnel-tree", "posix-spawn", "fork"}
small = {row["way"]: row for row in report["rows"] if row["parent"] == "small"}
assert ways <= set(small) <= ways | {"libpipeline"}, set(small)
assert small["vfork"]["of_vfork"] == 1, small["vfork"]
assert all(row["ns"] > 0 and row["of_vfork"] > 0 for row in report["rows"]), report
END

"$GINNEL" bench spawn --quick --rounds 1 --only small --save "$room" --json >"$room/json" 2>"$room/err" ||
    fail "$(cat "$room/err")"
python3 "$room/check.py" "$room/json" || fail "the figures above"
cmp "$room/json" "$room/spawn.json" || fail "what was kept is something else"
"$GINNEL" bench spawn --quick --rounds 1 --only small >"$room/table"
grep -q '^  posix-spawn .*x of vfork' "$room/table" || fail "no row in: $(cat "$room/table")"
