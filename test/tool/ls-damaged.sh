#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A damaged or foreign file has a row that says so, and does not end the listing.
. "$(dirname "$0")/common.sh"

echo 1 | ginnel send mailbox:good
echo 'not a mailbox' >"$GINNEL_DIR/mailbox:foreign"
: >"$GINNEL_DIR/mailbox:empty"
mkdir "$GINNEL_DIR/mailbox:folder"
ln -s /etc/passwd "$GINNEL_DIR/mailbox:link"
cp --sparse=always "$GINNEL_DIR/mailbox:good" "$GINNEL_DIR/mailbox:cut"
truncate -s 8192 "$GINNEL_DIR/mailbox:cut"
: >"$GINNEL_DIR/telegraph:x"

status 0 ginnel ls
for name in foreign empty folder link cut; do
    grep -q "^mailbox  *$name  *mailbox '$name': " "$room/out" || fail "no row for '$name': $(cat "$room/out")"
done
grep -q "^telegraph  *x  *address 'telegraph:.*no such kind" "$room/out" || fail "no row for the telegraph: $(cat "$room/out")"
same "the good one" "$(awk '$2 == "good" { print $5 }' "$room/out")" 1

status 0 ginnel ls --json
python3 - "$room/out" <<'END'
import json, sys
listed = {x["address"]: x for x in json.load(open(sys.argv[1]))}
assert "its file is not a mailbox" in listed["mailbox:foreign"]["error"]
assert "truncated" in listed["mailbox:cut"]["error"]
assert "error" in listed["mailbox:folder"] and "error" in listed["mailbox:link"] and "error" in listed["mailbox:empty"]
assert listed["mailbox:good"]["queued"] == 1 and "error" not in listed["mailbox:good"]
END

status 1 ginnel stat mailbox:foreign
said "^ginnel stat: mailbox 'foreign': its file is not a mailbox$"
status 1 ginnel recv mailbox:cut
said "^ginnel recv: mailbox 'cut': "
ginnel rm mailbox:foreign mailbox:cut
status 1 ginnel stat mailbox:foreign
