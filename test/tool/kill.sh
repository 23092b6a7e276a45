#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kill: by number, identity, command; asked first, then killed; whole trees; what became of each.
. "$(dirname "$0")/common.sh"

# A command of a name that nobody else has.
odd=odd$$
cp "$(command -v sleep)" "$room/$odd"
odds() {
    "$room/$odd" 1000 &
    pid=$!
    started="$started $pid"
    until_true grep -qx "$odd" "/proc/$pid/comm" # it is the shell until then
}
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status"; }

odds
status 0 ginnel kill "$pid"
same "what is said" "$(cat "$room/out")" "$pid $odd: exited"
gone "$pid" || fail "it runs still"
wait "$pid" || :
status 1 ginnel kill "$pid"
said "^ginnel kill: there is no process $pid$"

odds
status 0 ginnel kill --grace 0 "$pid"
same "what is said" "$(cat "$room/out")" "$pid $odd: killed"

# More than one by name: only when that was meant.
odds
first=$pid
odds
status 1 ginnel kill --exact "$odd" </dev/null
said "^ginnel kill: that would be 2 processes: give their numbers, or --yes$"
kill -0 "$first" || fail "one was killed all the same"
status 0 ginnel kill --yes --json --pattern "^o[d]+$$\$"
python3 - "$room/out" "$first" "$pid" <<'END'
import json, sys
found = json.load(open(sys.argv[1]))
assert sorted(f["pid"] for f in found) == sorted(map(int, sys.argv[2:])), found
assert all(f["fate"] == "exited" for f in found), found
END
status 1 ginnel kill --exact "$odd"
said "^ginnel kill: no command's name is '$odd'$"

# A tree, one of whom has a session of its own.
sh -c "'$room/$odd' 1001 & setsid '$room/$odd' 1002 & wait" &
pid=$!
started="$started $pid"
living_odds() {
    grep -lx "$odd" /proc/[0-9]*/comm 2>/dev/null | while read -r comm; do
        grep -q '^State:.*Z' "${comm%comm}status" 2>/dev/null || echo "$comm"
    done
}
two_odds() { [ "$(living_odds | wc -l)" = 2 ]; }
until_true two_odds
status 0 ginnel kill --tree "$pid"
same "how many ended" "$(grep -c ": exited$" "$room/out")" 3
grep -q "^$pid sh: exited$" "$room/out" || fail "the shell is not among them: $(cat "$room/out")"
same "who runs still" "$(living_odds)" ""

# An identity.
start recv direct:nobody --as killme
until_true ginnel stat direct:killme >/dev/null
status 0 ginnel kill killme
grep -q "^$pid ginnel: " "$room/out" || fail "not the one that was meant: $(cat "$room/out")"
wait "$pid" || :
status 1 ginnel kill killme
status 1 ginnel kill nobody
said "^ginnel kill: no process has the identity 'nobody'; if it is a command's name, say --exact$"

# A list that cannot be written is a failure, and what was meant is done all the same.
odds
closed() { "$GINNEL" kill "$pid" >&- <&-; }
status 1 closed
said "^ginnel kill: standard output: Bad file descriptor$"
wait "$pid" || :

status 2 ginnel kill
status 2 ginnel kill --exact --pattern x
status 2 ginnel kill --pattern '('
status 2 ginnel kill --grace soon 1
