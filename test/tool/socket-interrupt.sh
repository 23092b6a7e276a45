#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A signal ends the wait for a connection at once, and nothing untrue is said: in connecting, in TLS's handshake, in
# listening.
. "${0%/*}/common.sh"

told() { [ -s "$1" ]; }
connects() { find "/proc/$1/fd" -lname 'socket:*' | grep -q .; }

# Two listeners: one that accepts nobody, whose queue is full, so that no one more is answered; and one that says nothing.
cat >"$room/listeners.py" <<'END'
import select, socket, time
full, mute = socket.socket(), socket.socket()
for each, backlog in (full, 0), (mute, 100):
    each.bind(("127.0.0.1", 0))
    each.listen(backlog)
made = []
while True:
    one = socket.socket()
    one.setblocking(False)
    made.append(one)
    try:
        one.connect(full.getsockname())
    except BlockingIOError:
        pass
    if not select.select([], [one], [], 0.5)[1]:
        break
print("tcp:127.0.0.1:%d tls:127.0.0.1:%d" % (full.getsockname()[1], mute.getsockname()[1]), flush=True)
time.sleep(1000)
END
python3 "$room/listeners.py" >"$room/at" &
started="$started $!"
until_true told "$room/at"

read -r full mute <"$room/at"
for address in "$full" "$mute"; do
    for command in send recv work; do
        set -- $command "$address" --connect-timeout 10m
        [ $command != work ] || set -- "$@" -- true
        "$GINNEL" "$@" </dev/null >"$room/out" 2>"$room/err" &
        pid=$!
        started="$started $pid"
        until_true connects "$pid"
        kill -TERM "$pid"
        ended "$pid"
        same "$command in connecting to $address ends" "$got" 143
        same "it said" "$(cat "$room/err")" ""
    done
done

"$GINNEL" send "unix:$room/s" --listen </dev/null 2>"$room/err" &
pid=$!
started="$started $pid"
until_true test -S "$room/s"
kill -TERM "$pid"
ended "$pid"
same "send --listen ends" "$got" 143
said '^ginnel send: interrupted; nobody has connected$'
[ ! -e "$room/s" ] || fail "its file is there still"
