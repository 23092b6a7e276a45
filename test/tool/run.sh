#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run: its own statuses, errors with their place before anything is done, descriptors, timeouts, signals.
. "$(dirname "$0")/common.sh"

cd "$room"
echo old >kept

# error STATUS TEXT LINE: one line of complaint, and nothing has been done.
error() {
    status "$1" ginnel run "$3"
    same "lines of complaint of $3" "$(wc -l <"$room/err")" 1
    grep -qF "$2" "$room/err" || fail "$3: it said $(cat "$room/err")"
    same "kept, by $3" "$(cat kept)" old
}

status 0 ginnel run 'ls / | grep bin | sort -r'
same "ls | grep" "$(head -n 1 "$room/out")" sbin
# shellcheck disable=SC2016
status 0 ginnel run 'A=1 sh -c "echo \$A" |& cat > out 2>&1'
same "redirected" "$(cat out)" 1
status 3 ginnel run 'true | sh -c "exit 3"'
status 0 ginnel run 'sh -c "exit 3" | true'
status 3 ginnel run --pipefail 'sh -c "exit 3" | true'
status 141 ginnel run 'true | sh -c "kill -PIPE \$\$"'
status 1 ginnel run 'printf x | cat > /dev/full'

error 127 "column 1: there is no program 'nosuch' along PATH" 'nosuch > kept'
error 127 "column 7: there is no program" 'cat | nosuch > kept'
error 127 "column 8: 'cd' is a command of the shell's own" 'true | cd / > kept'
error 126 "column 1: cannot execute '/etc/passwd'" '/etc/passwd > kept'
printf '#!/no/such -x\n' >script && printf 'echo\n' >bare && chmod +x script bare
error 127 "column 15: cannot execute './script': its first line names '/no/such': No such file" 'true > kept | ./script'
[ -e /proc/sys/fs/binfmt_misc/status ] ||
    error 126 "column 15: cannot execute './bare': Exec format error" 'true > kept | ./bare'
ln -s loop loop
error 127 "column 1: cannot execute './loop': Too many levels of symbolic links" './loop > kept'
error 127 "column 8: '.' is a command of the shell's own" 'true | . ./script > kept'
LONG=$(head -c 100000 /dev/zero | tr '\0' a)
export LONG
# shellcheck disable=SC2016
same "arguments that are too long" "$(ginnel run 'true $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG $LONG' 2>&1 || echo $?)" \
    "ginnel run: column 1: cannot execute 'true': Argument list too long
126"
unset LONG
error 125 "column 23: cannot open 'nofile' to read" 'echo new > kept | wc <nofile'
error 125 "cannot open '/nowhere/x' to write" 'true > kept 2> /nowhere/x'
error 125 "cannot open '/nowhere/x' to write" 'true > kept > new 2> /nowhere/x'
[ ! -e new ] || fail "a line that cannot run has left a file behind"
error 125 "column 4: ';' is not known here" 'ls ; ls > kept'
# shellcheck disable=SC2016
error 125 "column 6: of $ only" 'echo $(ls) > kept'
error 125 "column 5: a command is missing here" 'ls |'
error 125 "column 6: the quotation" 'echo "abc'
error 125 "column 1: 'if' is a word of the shell's" 'if true'
mkfifo fifo
error 125 "is a FIFO" 'cat <fifo > kept'
line=true # of a hundred stages, for which descriptors are too few: at the pipes, at the processes
for _ in 1 2 3 4 5 6 7 8 9 10 11; do line="$line | true | true | true | true | true | true | true | true | true"; done
# shellcheck disable=SC3045
(ulimit -n 100 && error 125 "see ulimit -n" "$line > kept")
# shellcheck disable=SC3045
(ulimit -n 230 && error 125 "cannot make a process for 'true'" "$line")
status 125 ginnel run
status 125 ginnel run 'a' 'b'
status 0 ginnel run --help

# No stage has a descriptor but its three.
for line in 'ls /proc/self/fd' 'true | ls /proc/self/fd' 'ls /proc/self/fd | cat' 'cat kept | ls /proc/self/fd 2>&1 | cat'; do
    status 0 ginnel run "$line"
    same "descriptors of $line" "$(tr '\n' ' ' <"$room/out")" "0 1 2 3 " # 3 is the directory that ls reads
done

# Whoever holds the pipe, wherever it went, ends with the time.
long=1$$ # a time that nobody else sleeps
status 124 ginnel run --timeout 300ms "sh -c \"setsid sleep $long & exit 0\" | cat"
if cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q "[s]leep $long"; then fail "an orphan has survived"; fi

# Children that it had already are not its own to end; what was ignored stays ignored; orphans are reaped.
cat >had <<END
sleep $long & echo \$! >child
exec $GINNEL run --timeout 300ms 'sleep 1235'
END
status 124 sh had
kill -KILL "$(cat child)" || fail "a child of whoever executed it was ended"
for signal in HUP PIPE TERM; do
    status 0 sh -c "trap '' $signal; $GINNEL run 'sh -c \"kill -$signal \\\$\\\$; echo survived\" | cat'"
    same "with $signal ignored" "$(cat "$room/out")" survived
done
rm -f out
start_into out run 'sh -c "(true &) ; (true &) ; echo ready; exec sleep 1235" | cat'
while ! [ -s out ]; do sleep 0.05; done
reaped() {
    children=$(cat "/proc/$pid/task/$pid/children")
    for child in $children; do
        if grep -qs '^State:.Z' "/proc/$child/status"; then return 1; fi
    done
}
until_true reaped
kill -TERM "$pid"
wait "$pid" || :

# The report is the last line.
status 124 ginnel run --timeout 300ms --json 'sleep 1235'
tail -n 1 "$room/err" | python3 -m json.tool >/dev/null || fail "the last line is no JSON: $(cat "$room/err")"

# Told to end, it ends all stages and dies of the signal.
rm -f out
start_into out run 'sh -c "echo \$\$; exec sleep 1235" | cat'
while ! [ -s out ]; do sleep 0.05; done
kill -TERM "$pid"
got=0
wait "$pid" || got=$?
same "after SIGTERM" "$got" 143
if kill -0 "$(cat out)" 2>/dev/null; then fail "a stage runs still"; fi
