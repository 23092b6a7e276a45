#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is said of addresses, files and clients that are no good, in the words of the command: one line each.
. "${0%/*}/common.sh"

told() { grep -q 'listening on' "$1"; }
found() { sed -n 's/.*listening on //p' "$1"; }

# Addresses.
long=$(printf '%0108d' 0)
for command in send recv 'work -- true' 'serve -- true'; do
    verb=${command%% *}
    after=${command#"$verb"}
    # shellcheck disable=SC2086 # words
    status 2 ginnel "$verb" udp:foo:80 $after
    said "address 'udp:foo:80': no such kind of address: there are .*tcp:"
    # shellcheck disable=SC2086
    status 2 ginnel "$verb" unix:@ $after
    said 'give a name after the @'
    # shellcheck disable=SC2086
    status 2 ginnel "$verb" "unix:$long" $after
    said "a socket's path has up to 107 bytes"
done
status 2 ginnel rm unix:@
echo text >"$room/file"
status 1 ginnel recv "unix:$room/file"
said 'is no socket'
status 1 ginnel recv "unix:$room/none"
said 'nobody listens there$'

# Options that do not go with the address.
status 1 ginnel recv "unix:$room/s" --tls-name x
said ': an option --tls-... is for addresses that begin with tls:'
status 1 ginnel recv pipe:x --dead-after 3s
said '.*--connect-timeout, --dead-after and --connections are for sockets alone'
status 1 ginnel serve tls:127.0.0.1:0 --tls-name x --tls-psk "$room/file" -- true
said ': --tls-name is for who connects'

# Files of TLS are looked at before anything else: nobody listens on this port.
for option in ca cert key psk; do
    status 1 ginnel recv tls:127.0.0.1:1 --tls-$option "$room/none"
    said "^ginnel recv: --tls-$option: cannot read $room/none: No such file or directory$"
done
status 1 ginnel serve tls:127.0.0.1:0 --tls-psk "$room/none" -- true
said '^ginnel serve: --tls-psk: cannot read'

# Clients that break the rules, or are cut: each is told of once, by who it is; the others go on.
cat >"$room/client.py" <<'END'
import socket, struct, sys
how, where = sys.argv[1:]
if where.startswith("tcp:"):
    host, port = where[4:].rsplit(":", 1)
    one = socket.create_connection((host, int(port)))
    print("tcp:127.0.0.1:%d" % one.getsockname()[1], flush=True)
else:
    one = socket.socket(socket.AF_UNIX)
    one.connect(where[5:])
one.sendall(b"GNNLSOCK" + struct.pack(">II", 0, 0) + struct.pack(">I", 4) + b"good")
assert len(one.recv(16, socket.MSG_WAITALL)) == 16
if how == "long":
    one.sendall(struct.pack(">I", 1 << 30))
    try:
        while one.recv(100):
            pass
    except OSError:
        pass
if how == "cut":
    one.sendall(struct.pack(">I", 100) + b"half a")
END
start recv tcp:127.0.0.1:0 --listen >"$room/got" 2>"$room/err"
until_true told "$room/err"
at=$(found "$room/err")
: >"$room/err"
client=$(python3 "$room/client.py" long "$at")
until_true grep -q . "$room/err"
said "^ginnel recv: $client: the other side sends a message that is larger than message_max"
: >"$room/err"
python3 "$room/client.py" cut "$at" >"$room/out"
until_true grep -q . "$room/err"
said "^ginnel recv: $(cat "$room/out"): the other side ended in the midst of a message"
: >"$room/err"
echo well | ginnel send "$at"
until_true grep -q well "$room/got"
same "it said" "$(cat "$room/err")" ""
same "what came" "$(tr '\n' ' ' <"$room/got")" "good good well "

start work "unix:$room/s" --listen -- cat >"$room/got" 2>"$room/err"
until_true test -S "$room/s"
python3 "$room/client.py" cut "unix:$room/s" &
client=$!
ended "$client"
until_true grep -q . "$room/err"
said "^ginnel work: unix:$room/s: .*in the midst of a message (process $client of uid $(id -u))$"
same "what came" "$(cat "$room/got")" good

# Pre-shared keys that differ, or have other names.
echo me:00112233445566778899aabbccddeeff >"$room/psk"
echo me:ff112233445566778899aabbccddeeff >"$room/other"
echo you:00112233445566778899aabbccddeeff >"$room/unknown"
start recv tls:127.0.0.1:0 --listen --tls-psk "$room/psk" 2>"$room/where"
until_true told "$room/where"
at=$(found "$room/where")
status 1 ginnel send "$at" --tls-psk "$room/other"
said 'with pre-shared keys, those of this name differ'
status 1 ginnel send "$at" --tls-psk "$room/unknown"
said 'with pre-shared keys, the other side has none of this name'
