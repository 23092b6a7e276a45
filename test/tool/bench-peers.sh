#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench --peers runs every peer that was built: each has a row, what it received is what was sent, and nothing stays
# behind, after an interrupt neither. No figure is judged. $PEERS: the programs that were built.
. "$(dirname "$0")/common.sh"

cat >"$room/check.py" <<'END'
import json, os, sys

report, works = json.load(open(sys.argv[1])), set(sys.argv[2:])
built = set(os.environ["PEERS"].split())
program = {name: "peer-kernel" for name in
           "pipe fifo unix-stream unix-seqpacket tcp posix-mq sysv-msg".split()}
program.update({name: "peer-ginnel" for name in
                "ginnel ginnel-in-place ginnel-unix ginnel-unix-many ginnel-tcp ginnel-tcp-many".split()})
program.update({name: "peer-ck" for name in ("ck-ring-spsc", "ck-ring-mpsc")})
program.update({name: "peer-" + name for name in "zeromq nng nanomsg boost iceoryx".split()})
program.update({name + "-tcp": "peer-" + name for name in ("zeromq", "nng")})
# What each may leave out, and why.
excuses = {"posix-mq": ["too large", "no POSIX"], "sysv-msg": ["too large", "no System V"],
           "unix-seqpacket": ["too large"], "pipe": ["stays whole"], "fifo": ["stays whole"],
           "ck-ring-spsc": ["one sender only", "cannot sleep"], "ck-ring-mpsc": ["cannot sleep"],
           "iceoryx": ["does no other run"]}
excuses.update({name: ["one message at a time", "large messages"] for name in ("ginnel-unix-many", "ginnel-tcp-many")})
assert report["kind"] == "peers" and report["rounds"] == 1 and report["machine"]["cpu"], report
assert set(report["works"]) == works, set(report["works"])
for work, rows in report["works"].items():
    assert set(rows["peers"]) == set(program), (work, set(rows["peers"]) ^ set(program))
    for name, row in rows["peers"].items():
        why = row.get("not_measured")
        if program[name] not in built:
            assert why == "not installed", (work, name, row)
        elif why is not None:
            assert any(excuse in why for excuse in excuses.get(name, [])), (work, name, row)
        else:
            assert row["received"] == row["sent"] > 0, (work, name, row)
            assert 0 < row["low_ns"] <= row["ns"] <= row["high_ns"] and row["ratio"] > 0, (work, name, row)
    assert "ns" in rows["peers"]["ginnel"] and "ns" in rows["peers"]["ginnel-in-place"], work
END

run() {
    only=$1
    shift
    "$GINNEL" bench --peers --quick --rounds 1 --json --only "$only" >"$room/json" 2>"$room/err" ||
        fail "$(cat "$room/err")"
    python3 "$room/check.py" "$room/json" "$@" || fail "the figures above"
}

run latency latency_busy latency_asleep
run stream_64k stream_64k stream_64k_2to1

# One peer, and Ginnel beside it; as a table, and kept: in the same run.
"$GINNEL" bench --peers --quick --only pipe --save "$room" >"$room/table" 2>"$room/err"
grep -q 'Ginnel.* pipe' "$room/table" || fail "nobody leads in: $(cat "$room/table")"
if grep -q FIFO "$room/table"; then fail "FIFO was not asked for"; fi
grep -q '"pipe"' "$room/peers.json" || fail "no pipe in what was kept"
if command -v gnuplot >/dev/null; then
    for chart in latency 1to1 2to1; do
        grep -q '<svg' "$room/peers-$chart.svg" || fail "no chart of $chart: $(cat "$room/err")"
    done
fi

# Interrupted in the middle: whatever a peer had made is gone.
left() {
    ls -d /dev/shm/ginnel-peer-"$1"-* /dev/mqueue/ginnel-peer-"$1"-* 2>/dev/null || :
}
start_into "$room/out" bench --peers --rounds 99 --only boost
tries=0 # without a pause: a peer is there for a moment only
until peer=$(cat "/proc/$pid/task/$pid/children") && [ -n "$peer" ] && [ -n "$(left "${peer% }")" ]; do
    tries=$((tries + 1))
    [ $tries -lt 3000 ] || fail "bench starts no peer"
done
kill -TERM "$pid"
ended "$pid"
same "status of bench: SIGTERM's" "$got" 143
[ -z "$(left "${peer% }")" ] || fail "left behind: $(left "${peer% }")"
