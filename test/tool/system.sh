#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ls --system: the kernel's own objects, used and orphaned, whatever their names; the doctor notes the orphans and
# removes none.
. "$(dirname "$0")/common.sh"

tag=ginnel-system-$$-x # no beginning of another run's
clear_away() {
    rm -rf /dev/shm/"$tag"* /dev/shm/sem."$tag"*
    [ ! -f "$room/ids" ] || while read -r kind id; do ipcrm "$kind" "$id" 2>/dev/null || :; done <"$room/ids"
    cleanup
}
trap clear_away EXIT

# Makes System V objects and says which: memory, semaphores with and without an operation, a queue with a message;
# then it dies. With "hold" it has memory attached, waits at a semaphore, has one file open and another only mapped
# until its standard input ends.
cat >"$room/make.py" <<'END'
import ctypes, mmap, os, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
tag, ids = sys.argv[1], open(sys.argv[2], "a")
def good(result):
    assert result != -1, os.strerror(ctypes.get_errno())
    return result
def made(kind, number):
    print(kind, good(number), file=ids, flush=True)
    return number
def operate(semaphores, change):
    return libc.semop(semaphores, struct.pack("Hhh", 0, change, 0), 1)
memory = made("-m", libc.shmget(0, 12345, 0o1640))
semaphores = made("-s", libc.semget(0, 3, 0o1600))
if sys.argv[3:] == ["hold"]:
    good(libc.shmat(memory, None, 0))
    opened = open(f"/dev/shm/{tag}-open", "w+b")
    opened.truncate(8192)
    mapped = open(f"/dev/shm/{tag}-mapped", "w+b")
    mapped.truncate(4096)
    mapping = libc.mmap(None, 4096, 3, mmap.MAP_SHARED, mapped.fileno(), 0)
    mapped.close()
    threading.Thread(target=operate, args=(semaphores, -1), daemon=True).start()
    while libc.semctl(semaphores, 0, 14) != 1: # GETNCNT
        pass
    print("ready", flush=True)
    sys.stdin.read()
else:
    good(operate(semaphores, 1))
    made("-s", libc.semget(0, 2, 0o1600))
    queue = made("-q", libc.msgget(0, 0o1600))
    good(libc.msgsnd(queue, struct.pack("l5s", 1, b"hello"), 5, 0))
    for name in (tag, "sem." + tag):
        open("/dev/shm/" + name, "wb").write(bytes(32))
END
python3 "$room/make.py" "$tag" "$room/ids"
mkfifo "$room/end" "$room/ready"
python3 "$room/make.py" "$tag" "$room/ids" hold <"$room/end" >"$room/ready" &
holder=$!
started="$started $holder"
exec 3>"$room/end"
read -r _ <"$room/ready"

# Names that a terminal or a shell might obey, and what is no object.
python3 - "$tag" <<'END'
import os, sys
for name in (b"\x1b[2Jx", b"$(touch here)", b"a b'c\\", b"line\nline", b"\xff\xfe", b"\xc2\x9b31m", b"\xc3\xa4"):
    open(b"/dev/shm/" + sys.argv[1].encode() + name, "wb").close()
END
mkdir "/dev/shm/$tag-directory"
ln -s /etc/passwd "/dev/shm/$tag-link"
mkfifo "/dev/shm/$tag-fifo"

echo 1 | ginnel send mailbox:ours
status 0 ginnel ls --system
! grep -q "$(printf '[\001-\010\013-\037\177\377\376]')" "$room/out" || fail "a terminal would obey: $(cat -v "$room/out")"
grep -q '^mailbox  *ours ' "$room/out" || fail "Ginnel's own are missing"
# row KIND NAME REST: of the second table, its columns from the third on.
row() {
    grep -q "^$1  *$2  *$3" "$room/out" || fail "no '$1 $2 $3' in: $(cat "$room/out")"
}
me=$(id -un)
number() { sed -n "s/^$1 //p" "$room/ids" | sed -n "$2p"; }
row sysv-shm "$(number -m 1)" "0x00000000  *$me  *0640  *12345  *-  *0  *orphaned  *creator [0-9]* (dead)"
row sysv-shm "$(number -m 2)" "0x00000000  *$me  *0640  *12345  *-  *1  *used  *creator $holder, last user $holder"
row sysv-sem "$(number -s 1)" "0x00000000  *$me  *0600  *0  *3  *0  *orphaned  *last user [0-9]* (dead)"
row sysv-sem "$(number -s 2)" "0x00000000  *$me  *0600  *0  *2  *0  *unknown"
row sysv-sem "$(number -s 3)" "0x00000000  *$me  *0600  *0  *3  *1  *used"
row sysv-msg "$(number -q 1)" "0x00000000  *$me  *0600  *5  *1  *-  *orphaned  *last sender [0-9]* (dead)"
row posix-shm "/$tag" "-  *$me  *0[0-7]*  *32  *-  *0  *orphaned"
row posix-shm "/$tag-open" "-  *$me  *0[0-7]*  *8192  *-  *1  *used  *user $holder"
row posix-shm "/$tag-mapped" "-  *$me  *0[0-7]*  *4096  *-  *1  *used  *user $holder"
row posix-sem "/$tag" "-  *$me  *0[0-7]*  *32  *-  *0  *orphaned"
row posix-shm "/$tag?\[2Jx" "-"
row posix-shm "/${tag}ä" "-"
! grep -q "$tag-[dlf]i" "$room/out" || fail "what is no object is listed: $(cat "$room/out")"

# The doctor: orphans, and how to remove them, as notes; --clean does not.
ginnel doctor --clean >"$room/out" || :
# noted ABOUT COMMAND
noted() {
    grep -A 1 "^note  *$1: .*, not Ginnel's, is left behind: " "$room/out" | grep -q -F -x -e "         -> $2" ||
        fail "no '$1' with '$2' in: $(cat "$room/out")"
}
noted "sysv-shm $(number -m 1)" "ipcrm -m $(number -m 1)"
noted "sysv-sem $(number -s 1)" "ipcrm -s $(number -s 1)"
noted "sysv-msg $(number -q 1)" "ipcrm -q $(number -q 1)"
noted "/dev/shm/$tag" "rm /dev/shm/$tag"
noted "/dev/shm/sem.$tag" "rm /dev/shm/sem.$tag"
noted "/dev/shm/$tag.(touch here)" "rm \$'/dev/shm/$tag\$(touch here)'"
for used in "sysv-shm $(number -m 2)" "sysv-sem $(number -s 2)" "sysv-sem $(number -s 3)" "/dev/shm/$tag-open" "/dev/shm/$tag-mapped"; do
    ! grep -q "^note  *$used: " "$room/out" || fail "it calls '$used' left behind: $(cat "$room/out")"
done

# Objects that come and go while it looks.
# shellcheck disable=SC2016
sh -c 'while :; do : >"/dev/shm/$1-brief"; rm "/dev/shm/$1-brief"; done' sh "$tag" &
churner=$!
started="$started $churner"
i=0
while [ $i -lt 50 ]; do
    status 0 ginnel ls --system --json
    python3 -m json.tool <"$room/out" >/dev/null || fail "no JSON: $(cat "$room/out")"
    i=$((i + 1))
done
kill -KILL "$churner"
ended "$churner"
rm -f "/dev/shm/$tag-brief"

# JSON: the same; its commands remove just what they are to.
ginnel ls --system --json >"$room/json" 2>"$room/err"
python3 - "$room/json" "$room/ids" "$tag" "$holder" >"$room/remove" <<'END'
import json, os, sys
listed = json.load(open(sys.argv[1]))
ids = [line.split() for line in open(sys.argv[2])]
tag, holder = sys.argv[3], int(sys.argv[4])
assert any(x.get("address") == "mailbox:ours" for x in listed)
def system_v(kind, number):
    return next(x for x in listed if x["kind"] == kind and x["id"] == int(number))
memory = [system_v("sysv-shm", n) for k, n in ids if k == "-m"]
assert (memory[0]["state"], memory[0]["users"], memory[0]["bytes"], memory[0]["mode"]) == ("orphaned", 0, 12345, "0640"), memory
assert memory[0]["owner_uid"] == os.getuid() and memory[0]["key"] == "0x00000000" and not memory[0]["processes"][0]["alive"]
assert {(p["pid"], p["role"], p["alive"]) for p in memory[1]["processes"]} == {(holder, "creator", True), (holder, "last user", True)}
queue = [system_v("sysv-msg", n) for k, n in ids if k == "-q"][0]
assert (queue["messages"], queue["bytes"]) == (1, 5) and "users" not in queue, queue
assert [system_v("sysv-sem", n)["semaphores"] for k, n in ids if k == "-s"] == [3, 2, 3]
ours = [x for x in listed if x["kind"] in ("posix-shm", "posix-sem") and x["name"].startswith("/" + tag)]
assert len(ours) == 11, ours
for x in ours:
    if x["state"] == "orphaned":
        print(x["remove"])
END
bash -e "$room/remove"
set -- /dev/shm/*"$tag"*
same "files that are left" "$*" "/dev/shm/$tag-directory /dev/shm/$tag-fifo /dev/shm/$tag-link /dev/shm/$tag-mapped /dev/shm/$tag-open"
[ ! -e here ] || fail "the shell obeyed a name"

# The holder ends: what it had is left behind.
exec 3>&-
ended "$holder"
ginnel ls --system >"$room/out" 2>/dev/null
row sysv-shm "$(number -m 2)" ".*  orphaned  *creator $holder (dead), last user $holder (dead)"
row posix-shm "/$tag-mapped" ".*  0  *orphaned"

# Another user can neither prove nor remove, and is not told to.
if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --regid 65534 --clear-groups "$GINNEL" --version >/dev/null 2>&1; then
    GINNEL_DIR="/dev/shm/$tag-nobody" setpriv --reuid 65534 --regid 65534 --clear-groups "$GINNEL" ls --system >"$room/out" 2>/dev/null
    row posix-shm "/$tag-mapped" ".*  -  *unknown"
    GINNEL_DIR="/dev/shm/$tag-nobody" setpriv --reuid 65534 --regid 65534 --clear-groups "$GINNEL" doctor >"$room/out" || :
    ! grep -q "$tag" "$room/out" || fail "the doctor tells nobody to remove what is root's: $(cat "$room/out")"
else
    echo "left out: another user: it takes root, and a tool that others may run"
fi

# Queues: not mounted, used, orphaned.
cat >"$room/queue.py" <<'END'
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
queues = [libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None) for name in (b"/left", b"/used")]
assert min(queues) >= 0, os.strerror(ctypes.get_errno())
assert libc.mq_send(queues[0], b"four", 4, 0) == 0
os.close(queues[0])
print("pid", os.getpid(), flush=True)
subprocess.run([sys.argv[1], "ls", "--system"], check=True)
END
in_namespace() {
    # shellcheck disable=SC2016
    unshare -rmi sh -c 'mkdir "$2/a mount" && mount -t mqueue none "$2/a mount" && python3 "$2/queue.py" "$1"' sh "$GINNEL" "$room"
}
if unshare -rmi true 2>/dev/null && in_namespace >"$room/out" 2>"$room/err"; then
    user=$(sed -n 's/^pid //p' "$room/out")
    row posix-mq /left "-  *[a-z]*  *0600  *4  *-  *0  *orphaned"
    row posix-mq /used "-  *[a-z]*  *0600  *0  *-  *1  *used  *user $user"
    ! grep -q "queues are not shown" "$room/err" || fail "it is mounted: $(cat "$room/err")"
else
    echo "left out: message queues: it takes the right to mount them"
fi
if ! grep -q ' mqueue ' /proc/self/mounts; then
    status 0 ginnel ls --system
    said 'message queues are not shown: .* mount -t mqueue none /dev/mqueue'
fi

status 2 ginnel ls --system mailbox:ours
said "takes no 'mailbox:ours'"
