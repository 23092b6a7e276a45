# SPDX-License-Identifier: Apache-2.0
# Two listeners, whose addresses it prints: one that accepts nobody and whose queue is full, so that no one more is
# answered; and one that says nothing.
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
