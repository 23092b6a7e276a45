#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# recv --listen --count: nobody is let in who is not needed, and who is not is told; the next receiver has them.
. "${0%/*}/common.sh"

# Five clients with a message each; which of them were let in (they get a hello), and which are turned away.
cat >"$room/clients.py" <<'END'
import socket, struct, sys, os
room, path = sys.argv[1:]
made = []
for number in range(5):
    one = socket.socket(socket.AF_UNIX)
    one.connect(path)
    one.sendall(b"GNNLSOCK" + struct.pack(">II", 0, 0) + struct.pack(">I", 1) + b"%d" % number)
    made.append(one)
open(room + "/sent", "w").close()
let_in = 0
for one in made:
    try:
        let_in += len(one.recv(16, socket.MSG_WAITALL)) == 16
    except ConnectionResetError:
        pass
print(let_in)
END
start_into "$room/got" recv "unix:$room/s" --listen --count 2
receiver=$pid
until_true test -S "$room/s"
kill -STOP "$receiver"
python3 "$room/clients.py" "$room" "$room/s" >"$room/let-in" &
clients=$!
started="$started $clients"
until_true test -e "$room/sent"
kill -CONT "$receiver"
ended "$receiver"
same "the receiver ends" "$got" 0
ended "$clients"
same "let in" "$(cat "$room/let-in")" 2
same "messages" "$(wc -l <"$room/got")" 2
