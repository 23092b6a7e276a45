#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the other side makes of what it was sent: send says so, as far as that can be heard, and does not wait for one who
# goes on.
. "${0%/*}/common.sh"

told() { grep -q 'listening on' "$1"; }
found() { sed -n 's/.*listening on //p' "$1"; }

# others HOW: who listens on $room/o and is not this command; one connection after the other.
cat >"$room/others.py" <<'END'
import os, socket, struct, sys, time
how, path = sys.argv[1:]
hello = b"GNNLSOCK" + struct.pack(">II", 0, 0)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path + ".new")
listener.listen()
os.rename(path + ".new", path)
kept = []
while True:
    one = listener.accept()[0]
    kept.append(one)
    if how == "deaf":
        one.sendall(hello)
        continue
    if how == "stays":
        one.sendall(hello)
    while one.recv(65536):
        pass
    if how == "http":
        one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    if how in ("http", "silent"):
        one.close()
END
others() {
    rm -f "$room/o"
    python3 "$room/others.py" "$1" "$room/o" &
    started="$started $!"
    until_true test -S "$room/o"
}

seq 1 1000 >"$room/lines"
seq 1 10 >"$room/few"
head -c 200 /dev/zero >"$room/long"

# It received all; it is turned away; what it sends is too long.
start_into "$room/got" recv "unix:$room/s" --listen --message-max 100 --connections 1
until_true test -S "$room/s"
status 0 ginnel send "unix:$room/s" "$room/lines"
until_true cmp -s "$room/got" "$room/lines"
status 1 ginnel send "unix:$room/s" --whole "$room/long"
grep -q 'a message of 200 bytes.* message_max is 100' "$room/err" || fail "it said: $(cat "$room/err")"
mkfifo "$room/hold"
(echo first && cat "$room/hold") | ginnel send "unix:$room/s" &
started="$started $!"
until_true grep -q '^first$' "$room/got"
status 4 ginnel send "unix:$room/s" "$room/lines"
said 'it turns away\|or turns away\|is gone'
: >"$room/hold"

# It is no Ginnel: it ends without a word, or with one of its own.
others silent
status 4 ginnel send "unix:$room/o" "$room/lines"
said 'ended before it accepted.*no Ginnel; sent 1000'
status 0 ginnel send "unix:$room/o" --stream "$room/lines"
others http
status 1 ginnel send "unix:$room/o" "$room/lines"
said "does not speak Ginnel's frames"

# It has not accepted: that is waited for. With --timeout 0 nothing is.
cat >"$room/late.py" <<'END'
import os, socket, struct, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
with open(sys.argv[2]) as go:
    go.read()
while True:
    made = listener.accept()[0]
    try:
        made.sendall(b"GNNLSOCK" + struct.pack(">II", 0, 0))
        while made.recv(65536):
            pass
    except OSError: # one of those that have given up
        pass
END
mkfifo "$room/go"
python3 "$room/late.py" "$room/l" "$room/go" &
started="$started $!"
until_true test -S "$room/l"
status 3 ginnel send "unix:$room/l" --timeout 300ms "$room/few"
said 'has not accepted the connection yet; sent 10'
status 0 ginnel send "unix:$room/l" --timeout 0 "$room/few"
: >"$room/go"
status 0 ginnel send "unix:$room/l" --timeout 20s "$room/few"

# It goes on: nobody waits for it. The second one takes nothing.
others stays
status 0 ginnel send "unix:$room/o" "$room/lines"
others deaf
status 0 ginnel send "unix:$room/o" --whole "$room/long"
head -c 20000000 /dev/zero >"$room/much"
status 3 ginnel send "unix:$room/o" --whole --stream --timeout 500ms "$room/much"
said 'the other side does not take all of the last message; sent 1'
"$GINNEL" send "unix:$room/o" --whole --stream "$room/much" 2>"$room/err" &
pid=$!
started="$started $pid"
connected() { find "/proc/$1/fd" -lname 'socket:*' | grep -q .; }
until_true connected "$pid"
kill -TERM "$pid"
ended "$pid"
same "send, told to stop, ends" "$got" 143

# Over TCP the kernel still has what such a one does not take.
cat >"$room/deaf.py" <<'END'
import socket, struct, time
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
made = listener.accept()[0]
made.sendall(b"GNNLSOCK" + struct.pack(">II", 0, 0))
time.sleep(1000)
END
python3 "$room/deaf.py" >"$room/port" &
started="$started $!"
until_true test -s "$room/port"
head -c 2000000 /dev/zero | status 3 ginnel send "tcp:127.0.0.1:$(cat "$room/port")" --size 60000 --timeout 10s
said 'does not take the last of what was sent\|timed out'

# TLS: it wants a certificate, which is said after the handshake.
command -v openssl >/dev/null || exit 0
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$room/key" -out "$room/cert" -days 2 \
    -subj /CN=ginnel -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' 2>"$room/err" || fail "openssl makes no certificate"
start recv tls:127.0.0.1:0 --listen --tls-cert "$room/cert" --tls-key "$room/key" --tls-ca "$room/cert" 2>"$room/where"
until_true told "$room/where"
for file in "$room/lines" "$room/long"; do
    status 1 ginnel send "$(found "$room/where")" --whole --tls-ca "$room/cert" "$file"
    said 'lets in only who shows a certificate'
done
