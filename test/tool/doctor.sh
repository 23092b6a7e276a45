#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The doctor finds what is dead, damaged, foreign, unfinished or open to others; mends what is proved to be dead or
# nobody's, and nothing else.
. "$(dirname "$0")/common.sh"

before=$GINNEL_DIR
export GINNEL_DIR="$room/nowhere/below"
status 1 ginnel doctor
grep -q 'nowhere/below: is absent and cannot be made (No such file' "$room/out" ||
    fail "no mailbox can be made: $(cat "$room/out")"
export GINNEL_DIR="$before"

# doctor WANTED [OPTION]: problems (1) or none (0) of our own; what is machine-wide is everybody's, and so are cgroups
# but for $cgroup. Its exit status is of all.
cgroup=none
doctor() {
    wanted=$1
    shift
    got=0
    ginnel doctor "$@" >"$room/all" 2>"$room/err" || got=$?
    same "standard error" "$(cat "$room/err")" ""
    problems=0
    ! grep -q '^problem' "$room/all" || problems=1
    same "exit status" "$got" "$problems"
    awk -v cgroup="$cgroup" '/^ / { if (ours) print; next }
        { ours = index($0, cgroup) || !/^[a-z]* *(mailbox:\/|\/dev\/shm\/ginnel:|\/.*\/ginnel-[-0-9]*:)/ } ours' \
        "$room/all" >"$room/out"
    problems=0
    ! grep -q '^problem' "$room/out" || problems=1
    [ "$problems" = "$wanted" ] || fail "doctor $*: problems: $problems, wanted $wanted: $(cat "$room/out")"
}

# found FINDING ABOUT PATTERN: in the last report.
found() {
    grep -q -e "^$1  *$2: .*$3" "$room/out" || fail "no '$1 $2: $3' in: $(cat "$room/out")"
}
silent() {
    ! grep -q -e "$1" "$room/out" || fail "it speaks of '$1': $(cat "$room/out")"
}

# Nothing is wrong: there is no directory yet, an empty one, one mailbox in use.
rmdir "$GINNEL_DIR"
doctor 0
mkdir -m 0700 "$GINNEL_DIR"
doctor 0
start recv mailbox:used
until_true field_is mailbox:used 's["receivers"]' 1
doctor 0
silent mailbox:used

# A dead holder.
seq -f '%0100.0f' 1 2000 >"$room/numbers"
mkfifo "$room/pipe"
start_into "$room/pipe" recv mailbox:dead --capacity unbounded
receiver=$pid
exec 3<"$room/pipe"
ginnel send mailbox:dead --capacity unbounded "$room/numbers"
until_true field_is mailbox:dead 's["held"] > 0' True
kill -KILL "$receiver"
ended "$receiver"
exec 3<&-
doctor 1
found problem mailbox:dead "1 dead and not yet swept: pid $receiver (holds [0-9]* messages)"
same "the dead one, after a look" "$(field mailbox:dead 'len(s["participants"])')" 1
ginnel doctor --json >"$room/out" || :
python3 - "$room/out" <<'END'
import json, sys
problems = [x for x in json.load(open(sys.argv[1])) if x["finding"] == "problem" and not "/" in x["about"]]
assert [x["about"] for x in problems] == ["mailbox:dead"], problems
assert "doctor --clean" in problems[0]["advice"]
END
doctor 0 --clean
found cleaned mailbox:dead "pid $receiver"
same "the dead one, after the mending" "$(field mailbox:dead 'len(s["participants"])')" 0
same "held" "$(field mailbox:dead 's["held"]')" 0
doctor 0
found note mailbox:dead "nobody has it open; [0-9]* messages"
[ "$(field mailbox:dead 's["queued"]')" -gt 0 ] || fail "its messages are gone"
ginnel rm mailbox:dead

# Damaged, foreign, of another version, unfinished.
echo 1 | ginnel send mailbox:damaged
echo 1 | ginnel send mailbox:open
echo 1 | ginnel send mailbox:version
printf '\377\377\377\377\377\377\377\377' | dd of="$GINNEL_DIR/mailbox:damaged" bs=8 seek=3 conv=notrunc 2>/dev/null
truncate -s 8192 "$GINNEL_DIR/mailbox:open"
printf '\115' | dd of="$GINNEL_DIR/mailbox:version" bs=1 seek=8 conv=notrunc 2>/dev/null
echo 'not a mailbox' >"$GINNEL_DIR/mailbox:foreign"
: >"$GINNEL_DIR/telegraph:x"
: >"$GINNEL_DIR/notes"
: >"$GINNEL_DIR/.new-abc"
: >"$GINNEL_DIR/.new-def"
exec 4<>"$GINNEL_DIR/mailbox:open" 5<>"$GINNEL_DIR/.new-def"
doctor 1
found problem mailbox:damaged "header is damaged; nobody has it open"
found problem mailbox:open "truncated; a process has it open"
found problem mailbox:version "layout version 77"
found problem mailbox:foreign "its file is not a mailbox"
found problem .new-abc "maker died"
found note telegraph:x "no such kind"
found note notes "no name of a mailbox"
silent new-def
doctor 1 --clean
found cleaned mailbox:damaged "removed"
found cleaned .new-abc "removed"
for name in mailbox:open mailbox:version mailbox:foreign telegraph:x notes .new-def mailbox:used; do
    [ -e "$GINNEL_DIR/$name" ] || fail "it removed $name"
done
for name in mailbox:damaged .new-abc; do
    [ ! -e "$GINNEL_DIR/$name" ] || fail "it left $name"
done
exec 4<&- 5<&-
doctor 1 --clean
found cleaned mailbox:open "removed"
found cleaned .new-def "removed"
ginnel rm mailbox:version mailbox:foreign
doctor 0

# A directory with nothing but notes is healthy.
GINNEL_DIR="$room/noted"
mkdir -m 0700 "$GINNEL_DIR"
: >"$GINNEL_DIR/README"
mkdir "$GINNEL_DIR/folder"
doctor 0
found note README "no name of a mailbox"
found note folder "no name of a mailbox"
silent "^problem"
GINNEL_DIR="$room/names"

# Written over: the queue, the sizes of messages, the tail alone; and of an unbounded one a place, the head.
for name in page sizes tail; do
    seq 3 | ginnel send "mailbox:$name"
    seq 3 | ginnel send "mailbox:$name-unbounded" --capacity unbounded
done
seq 3 | ginnel send mailbox:head-unbounded --capacity unbounded
for name in removed cells taken; do
    seq 3 | ginnel send "mailbox:$name"
done
seq 5000 | ginnel send mailbox:worn-unbounded --capacity unbounded
ginnel recv mailbox:worn-unbounded --count 4500 >/dev/null
doctor 0
# scribble NAME PLACE: standard input, over what is there.
scribble() {
    dd of="$GINNEL_DIR/mailbox:$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
slots=4096
# queue NAME: where its first queue is: docs/formats/mailbox.md.
queue() {
    python3 - "$GINNEL_DIR/mailbox:$1" <<'END'
import struct, sys
capacity, _, arena = struct.unpack_from("<qQQ", open(sys.argv[1], "rb").read(40), 16)
slots = capacity if capacity > 0 else min(1 << (arena // 128 - 1).bit_length(), 1 << 28)
print(4096 + -(-slots * 128 // 4096) * 4096 + 128)
END
}
for kind in "" -unbounded; do
    head -c 768 /dev/zero | tr '\0' '\245' | scribble "page$kind" "$(queue "page$kind")"
    printf '\377\377\377\177' | scribble "sizes$kind" $((slots + 8))
    printf '\350\003\0\0' | scribble "tail$kind" "$(queue "tail$kind")"
done
printf '\001' | scribble removed $(($(queue removed) + 312))
printf '\0\0\0\0' | scribble cells $(($(queue cells) - 128 + 4))
printf '\007' | scribble taken "$slots" # into cell 0
printf '\350\003\0\0' | scribble head-unbounded $(($(queue head-unbounded) + 128))
printf '\000' | scribble worn-unbounded $((slots + 128 * 4600))
doctor 1 --clean
# A count of cells that is a lie leads nobody to cell 0.
ginnel recv mailbox:cells --timeout 20s --count 3 >"$room/received"
same "received where the count of cells is a lie" "$(tr '\n' ' ' <"$room/received")" "1 2 3 "
for name in page sizes tail removed cells taken page-unbounded sizes-unbounded tail-unbounded head-unbounded worn-unbounded; do
    found problem "mailbox:$name" "make no sense"
    [ -e "$GINNEL_DIR/mailbox:$name" ] || fail "it removed mailbox:$name"
    ginnel rm "mailbox:$name"
done
doctor 0

# Who uses one notices nothing of all that.
field_is mailbox:used 's["receivers"]' 1 || fail "the receiver is gone"

# A cgroup that a killed keeper left: not while it is locked, not while a process is in it.
top=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
cgroup=$top$(sed -n 's/^0:://p' /proc/self/cgroup)
cgroup=${cgroup%/}/ginnel-999999999-$$
if [ -n "$top" ] && mkdir "$cgroup" 2>/dev/null; then
    exec 6<"$cgroup"
    flock -s 6
    doctor 0 --clean
    silent "$cgroup"
    exec 6<&-
    sleep 1000 &
    pid=$!
    started="$started $pid"
    if echo "$pid" >"$cgroup/cgroup.procs"; then
        doctor 0 --clean
        found note "$cgroup" "they go on"
    fi
    kill -KILL "$pid"
    ended "$pid"
    doctor 1
    found problem "$cgroup" "keeper was killed"
    doctor 0 --clean
    found cleaned "$cgroup" removed
    [ ! -e "$cgroup" ] || fail "it is there still"
else
    echo "left out: cgroups: this user may not make one"
fi
cgroup=none

# A file system that is full, where a test may mount one.
in_full_one() {
    # shellcheck disable=SC2016
    unshare -rm sh -c 'mount -t tmpfs -o size=1m,mode=0700 none "$GINNEL_DIR" && cat /dev/zero >"$GINNEL_DIR/fill" 2>/dev/null
        "$GINNEL" doctor' || :
}
if unshare -rm true 2>/dev/null; then
    in_full_one >"$room/out"
    found problem "$GINNEL_DIR" "its file system is full: 0.0 of 1.0 MiB"
else
    echo "left out: a full file system: it takes the right to mount one"
fi

# The directory itself.
chmod 0777 "$GINNEL_DIR"
doctor 1
found problem "$GINNEL_DIR" "others could replace"
chmod 0700 "$GINNEL_DIR"
GINNEL_DIR="$room/link"
ln -s "$room/names" "$GINNEL_DIR"
doctor 1
found problem "$GINNEL_DIR" "symbolic link"

status 2 ginnel doctor mailbox:used
