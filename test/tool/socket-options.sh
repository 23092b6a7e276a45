#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What limits connections: --connections, --connect-timeout, --dead-after.
. "${0%/*}/common.sh"

told() { [ -s "$1" ]; }

# Who comes when there are enough is turned away; once one has gone the next is let in.
for command in recv work serve; do
    case $command in
        recv) set -- recv "unix:$room/s" --listen ;;
        work) set -- work "unix:$room/s" --listen -- sh -c "cat >>'$room/got' && echo >>'$room/got'" ;;
        serve) set -- serve "unix:$room/s" -- sh -c "cat >>'$room/got'" ;;
    esac
    verb=$1
    shift
    : >"$room/got"
    rm -f "$room/hold"
    mkfifo "$room/hold"
    start_into "$room/got" "$verb" --connections 1 "$@"
    server=$pid
    until_true test -S "$room/s"
    (echo first && cat "$room/hold") | ginnel send "unix:$room/s" &
    sender=$!
    started="$started $sender"
    until_true grep -q '^first$' "$room/got"
    status 4 ginnel recv "unix:$room/s"
    : >"$room/hold"
    ended "$sender"
    next() { ginnel send "unix:$room/s" "$room/next" && grep -q '^next$' "$room/got"; }
    echo next >"$room/next"
    until_true next
    kill -TERM "$server"
    ended "$server"
done

# A listener whose queue is full: what comes then is not answered.
python3 "$(dirname "$0")/listeners.py" >"$room/at" &
started="$started $!"
until_true told "$room/at"
read -r full mute <"$room/at"
status 3 ginnel recv "$full" --connect-timeout 200ms
said 'cannot connect to 127.0.0.1: Connection timed out'
# One that is connected, and does not shake hands.
status 3 ginnel recv "$mute" --connect-timeout 200ms
said "does not finish TLS's handshake"

# One that takes nothing of what it is sent.
cat >"$room/deaf.py" <<'END'
import socket, time
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
made = listener.accept()
time.sleep(1000)
END
: >"$room/port"
python3 "$room/deaf.py" >"$room/port" &
started="$started $!"
until_true told "$room/port"
yes | status 4 ginnel send "tcp:127.0.0.1:$(cat "$room/port")" --stream --size 64K --dead-after 1s
said 'does not answer any more'

# Where they make no sense.
status 2 ginnel recv "unix:$room/s" --connections 3
said '--connections is for who listens'
status 2 ginnel work tcp:127.0.0.1:0 --listen --connect-timeout 3s -- true
said '--connect-timeout is for who connects'
status 2 ginnel recv tcp:127.0.0.1:1 --connect-timeout 0
status 2 ginnel recv tcp:127.0.0.1:1 --dead-after soon
status 2 ginnel serve "unix:$room/s" --connections 0 -- true
status 2 ginnel send "unix:$room/s" --connections 2

# One that stops taking anything, with TLS between.
command -v openssl >/dev/null || exit 0
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$room/key" -out "$room/cert" -days 2 \
    -subj /CN=ginnel -addext 'subjectAltName=IP:127.0.0.1' 2>"$room/err" || fail "openssl makes no certificate"
mkfifo "$room/never"
start serve tls:127.0.0.1:0 --stream --tls-cert "$room/cert" --tls-key "$room/key" -- cat "$room/never" 2>"$room/where"
until_true grep -q 'listening on' "$room/where"
yes | status 4 ginnel send "$(sed -n 's/.*listening on //p' "$room/where")" --stream --size 64K --dead-after 1s --tls-ca "$room/cert"
said 'does not answer any more'
