#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A runtime directory that is of no use: one line that says which it is, why, and what to do.
. "$(dirname "$0")/common.sh"

: >"$room/file"
ln -s "$room" "$room/link"
mkdir -m 0700 "$room/closed" "$room/foreign"
advice="GINNEL_DIR chooses another: one of yours, best on a tmpfs such as /dev/shm$"

# refused DIRECTORY WHY: by a command that would make a name there
refused() {
    export GINNEL_DIR="$1"
    status 1 ginnel send mailbox:x /dev/null
    said "$2.*$advice"
    grep -q -F "$1" "$room/err" || fail "it does not name $1: $(cat "$room/err")"
}

refused "$room/file" "is not a directory"
refused "$room/file/below" "is not a directory"
refused "$room/link" "a symbolic link"
refused "$room/absent/below" "cannot make the directory .*No such file or directory"
refused /proc/names "cannot make the directory "
if [ "$(id -u)" = 0 ]; then
    chown 12345 "$room/foreign"
    refused "$room/foreign" "belongs to uid 12345, not to uid 0: not used"
    # A stranger's link, wherever it stands on the way.
    mkdir -m 0700 "$room/mine"
    ln -s "$room/mine" "$room/stranger"
    chown -h 12345 "$room/stranger"
    export GINNEL_DIR="$room/stranger/." && status 1 ginnel send mailbox:x /dev/null
    said "stranger is a symbolic link of uid 12345: not followed; $advice"
    export GINNEL_DIR="$room/link/mine" && status 0 ginnel send mailbox:x /dev/null
    refused /proc "^ginnel send: mailbox 'x': no file can be made in /proc (No such file or directory)"
else
    refused /proc "belongs to uid 0, not to uid $(id -u): not used"
    chmod 0000 "$room/closed"
    refused "$room/closed" "cannot open the directory .*Permission denied"
    chmod 0500 "$room/closed"
    refused "$room/closed" "no file can be made in .*Permission denied"
fi
