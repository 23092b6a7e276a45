#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# More who connect than there are descriptors: those who are there are served, it is said once, and once some have gone
# others are let in. recv, work and serve.
. "${0%/*}/common.sh"

# flood ADDRESS: connections that say hello and stay, the first of them with a message when $room/speak is there, until
# $room/go is.
cat >"$room/flood.py" <<'END'
import os, socket, struct, sys, time
room, path = sys.argv[1:]
def wait_for(name):
    while not os.path.exists(room + "/" + name):
        time.sleep(0.02)
made = []
for number in range(150):
    one = socket.socket(socket.AF_UNIX)
    one.connect(path)
    one.sendall(b"GNNLSOCK" + struct.pack(">II", 1 << 20, 0))
    made.append(one)
    if number == 0:
        assert len(one.recv(16, socket.MSG_WAITALL)) == 16  # it has been accepted
open(room + "/flooded", "w").close()
wait_for("speak")
made[0].sendall(struct.pack(">I", 5) + b"hello")
wait_for("go")
END

# How often its threads went to sleep.
sleeps() { cat "/proc/$server/task"/*/status | awk '/^voluntary_ctxt_switches:/ { sum += $2 } END { print sum }'; }
slept_more() { [ "$(sleeps)" -gt $((slept + 20)) ]; }

for command in recv work serve; do
    rm -f "$room/flooded" "$room/speak" "$room/go"
    : >"$room/got"
    out=$room/out
    case $command in
        recv) set -- recv "unix:$room/s" --listen && out=$room/got ;;
        work) set -- work "unix:$room/s" --listen -- sh -c "cat >>'$room/got' && echo >>'$room/got'" ;;
        serve) set -- serve "unix:$room/s" -- sh -c "cat >>'$room/got'" ;;
    esac
    (
        # shellcheck disable=SC3045 # dash and bash have it
        ulimit -n 64
        exec "$GINNEL" "$@"
    ) >>"$out" 2>"$room/err" &
    server=$!
    started="$started $server"
    until_true test -S "$room/s"
    python3 "$room/flood.py" "$room" "$room/s" &
    flood=$!
    started="$started $flood"
    until_true test -e "$room/flooded"
    until_true grep -q "no descriptor is left" "$room/err"
    # It waits meanwhile: who looks again and again never sleeps.
    slept=$(sleeps)
    until_true slept_more
    : >"$room/speak"
    until_true grep -q '^hello$' "$room/got"
    : >"$room/go"
    ended "$flood"
    echo again | ginnel send "unix:$room/s"
    until_true grep -q '^again$' "$room/got"
    same "times it is said" "$(grep -c 'no descriptor is left .*ulimit -n' "$room/err")" 1
    kill -TERM "$server"
    ended "$server"
    same "$command ends" "$got" 143
done
