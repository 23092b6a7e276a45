#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench measures all that it says, each figure makes sense, and an interrupt leaves nothing behind.
. "$(dirname "$0")/common.sh"

cat >"$room/check.py" <<'END'
import json, sys

report = json.load(open(sys.argv[1]))
limits = "line_pass bare_ring futex_wake socket_one_core system_call memcpy_64k memcpy_1m relay_64k relay_1m".split()
latencies = "latency_spin latency_sleep latency_one_core rendezvous".split()
ways = "copy_64 copy_1k copy_64k copy_1m batch_64 zero_64 zero_1k zero_64k zero_1m zero_1m_touched".split()
aims = {"latency_spin", "latency_sleep", "latency_one_core", "copy_64k", "zero_1m"}
streams = [way + ratio for way in ways for ratio in ("", "_2to1", "_1to2")]
rows = report["rows"]
assert sorted(rows) == sorted(limits + latencies + streams), sorted(rows)
for name, row in rows.items():
    for key in ("ns", "low_ns", "high_ns", "per_second"):
        assert row[key] > 0, (name, key, row)
    assert row["low_ns"] <= row["ns"] <= row["high_ns"], (name, row)
    assert row.get("p99_ns", row["ns"]) >= row["ns"], (name, row)
    if name not in limits:
        assert row["ratio"] > 0 and row["limit"] in rows, (name, row)
        assert row["page_faults_per_message"] >= 0 and row["sleeps_per_message"] >= 0, (name, row)
    if name in aims:
        reached = row["ratio"] <= row["aim"] if row["compares"] == "time" else row["ratio"] >= row["aim"]
        # The figures are rounded for printing.
        assert reached == row["reached"] or abs(row["ratio"] - row["aim"]) < 1e-4, (name, row)
    else:
        assert "aim" not in row, (name, row)
assert rows["copy_64k"]["bytes_per_second"] > 0 and "bytes_per_second" not in rows["zero_1m"]
assert report["page_faults"]["row"] in streams and report["page_faults"]["most_per_message"] >= 0
assert report["kind"] == "mailbox" and report["rounds"] == 1 and report["quick"] is True
machine = report["machine"]
assert machine["cores"] > 0 and machine["cpu"] and machine["kernel"] and machine["pinned"], machine
END

"$GINNEL" bench mailbox --quick --rounds 1 --json >"$room/json" 2>"$room/err" || fail "$(cat "$room/err")"
[ ! -s "$room/err" ] || fail "it said: $(cat "$room/err")"
python3 "$room/check.py" "$room/json" || fail "the figures above"

# One row, its limit, and no more; as a table.
"$GINNEL" bench --quick --rounds 1 --only latency_sleep >"$room/table"
grep -q '^  latency_sleep ' "$room/table" || fail "no latency_sleep in: $(cat "$room/table")"
grep -q '^  futex_wake ' "$room/table" || fail "no futex_wake in: $(cat "$room/table")"
if grep -q '^  line_pass ' "$room/table"; then fail "line_pass was not asked for"; fi

for wrong in "sockets" "--rounds 0" "--rounds many" "--only nothing-like-this" "--nonsense" "--peers --scale" \
    "--peers --only nothing-like-this" "--scale --only nothing-like-this"; do
    # shellcheck disable=SC2086 # two words, where there are two
    status 2 ginnel bench $wrong
    said .
done

# Interrupted in the middle: its processes are gone, and its mailboxes with their directory.
start_into "$room/out" bench --rounds 99
busy() {
    [ -n "$(cat "/proc/$pid/task/$pid/children")" ]
}
until_true busy
kill -TERM "$pid"
ended "$pid"
same "status of bench: SIGTERM's" "$got" 143
for left in /dev/shm/ginnel-bench-"$pid"-*; do
    [ ! -e "$left" ] || fail "$left was left behind"
done
