#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# --jobs: three commands run at the same time: each waits for the two others.
. "$(dirname "$0")/common.sh"

seq 1 6 | ginnel send mailbox:j
mkdir "$room/here"
cat >"$room/meet" <<'END'
read -r me
touch "$ROOM/here/$me"
round=$(((me - 1) / 3))
tries=0
until [ -e "$ROOM/here/$((3 * round + 1))" ] && [ -e "$ROOM/here/$((3 * round + 2))" ] && [ -e "$ROOM/here/$((3 * round + 3))" ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || exit 1
    sleep 0.05
done
END
status 0 env ROOM="$room" "$GINNEL" work mailbox:j --jobs 3 --count 6 -- sh "$room/meet"
same "complaints" "$(cat "$room/err")" ""
same "all done" "$(field mailbox:j 's["queued"], s["held"], s["received"]')" "(0, 0, 6)"
status 2 ginnel work mailbox:j --jobs 0 -- true
status 2 ginnel work mailbox:j --jobs 257 -- true

# The timeout does not run while a command does: the second message comes late enough for the idle job.
echo first | ginnel send mailbox:j
cat >"$room/relay" <<'END'
read -r word
echo "$word"
[ "$word" = second ] || { sleep 0.5; echo second | "$GINNEL" send mailbox:j; }
END
status 3 ginnel work mailbox:j --jobs 2 --timeout 100ms -- sh "$room/relay"
same "output" "$(tr '\n' ' ' <"$room/out")" "first second "
