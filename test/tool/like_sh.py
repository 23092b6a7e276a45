# SPDX-License-Identifier: Apache-2.0
"""Makes command lines, runs each with dash and with `ginnel run`, and compares output, status and files.

like_sh.py GINNEL COUNT [SEED]: a line that differs is printed with both results; exit status 1 then.
"""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

PLAIN = ["a", "b.txt", "x-y", "k=v", "1", "a{b,c}", "end!", "%", "a~b", "#no"[1:], "t#t", "é"]
QUOTED = ["'single $X *'", '"double $X"', '"a\\"q\\\\b\\$X"', "\\*", "\\ ", "'it'\\''s'", '""', "''", '"*.txt"', '"a\nb"',
          '"$E"', '"${X}y"', "'|'", '">"', "\\$X", '"\\n"', "a\\\nb"]
REPLACED = ["$X", "${X}", "$E", "a$X", "$X'z'", "$STAR", '"$STAR"', "$T", "${UNSET}b", "$", "a$", "$X$X", "~", "~/f", "a~"]
PATTERNS = ["*", "*.txt", "?.txt", "[ab].txt", "[!a].txt", "none*", '"*".txt', "\\*.txt", "sub/*", "s*/*", "[", "[a", "a[", "*$E",
            "$STAR*", "sub/.*x", "[^a]*", "[a'-'b]*", "[\\!a]*", "[a\"-\"z].txt", "$BS", "$BS*"]
FILTERS = ["cat", "sort", "sort -r", "tr a-z A-Z", "head -n 2", "wc -l", "sed s/a/b/g", "grep a", "grep -v a", "cat - a.txt",
           "tail -n 1", "env cat", "grep nowhere", "false", "true", "sh -c 'cat; exit 4'", "sh -c 'cat >&2'", "cut -c 1-3", "od -c", "sh -c 'head -n 1; exit 0'"]
SOURCES = ["cat a.txt", "cat b.txt sub/s.x", "seq 1 9", "ls nowhere", "sh -c 'echo e >&2; echo o; exit 3'", "printf ''",
           "seq 1 100000", "sh -c 'kill -PIPE $$'", "ls sub", "true", "false", "cat -n a.txt"]


def word(random):
    pieces = random.choices([PLAIN, QUOTED, REPLACED, PATTERNS], [4, 4, 4, 4], k=random.choice([1, 1, 1, 2]))
    made = "".join(random.choice(piece) for piece in pieces)
    return word(random) if re.search(r"\$[$0-9]", made) else made # those are the shell's own


def words(random):
    return "printf '[%s]' " + " ".join(word(random) for _ in range(random.randint(1, 4)))


# What is made lies where no pattern looks, and each stage has names of its own: they run at the same time.
def redirections(random, number, last):
    made = []
    if number == 0 and random.random() < 0.1:
        made.append(random.choice(["<a.txt", "< b.txt", "0<a.txt"]))
    if random.random() < 0.15:
        made.append(random.choice([f"2>made/err{number}", f"2>>made/err{number}", f"2> 'made/e r{number}'", "2>/dev/null"]))
    if last and random.random() < 0.3:
        made.append(random.choice([">made/out", ">> made/log", "1>made/out", ">made/$E$STAR", '>made/"$X"', "> /dev/full",
                                   ">/dev/null"]))
    if random.random() < 0.2 and "> /dev/full" not in made: # each printf says in words of its own that it cannot write
        made.append(random.choice(["2>&1", ">&2", "1>&2"]))
    random.shuffle(made)
    return made


# A line may go on in the middle of an operator, as everywhere but in quotes.
def joined(random, text):
    if "'" in text or random.random() > 0.1:
        return text
    at = random.randrange(1, len(text))
    return text[:at] + "\\\n" + text[at:]


def stage(random, number, last):
    filters = FILTERS + ["tee made/copy"] if last else FILTERS
    parts = [random.choice([words(random), random.choice(SOURCES)]) if number == 0 else random.choice(filters)]
    for redirection in redirections(random, number, last):
        parts.insert(random.choice([0, len(parts)]), joined(random, redirection))
    if random.random() < 0.12:
        parts = random.choice([[], ["X=" + word(random)]]) + ["V=" + word(random)] + random.choice([["sh -c 'printf \"<%s>\" \"$V\"'"], parts])
    return " ".join(parts)


def line(random):
    length = random.choice([1, 1, 2, 2, 3, 4])
    stages = [stage(random, i, i == length - 1) for i in range(length)]
    made = stages[0]
    for each in stages[1:]:
        made += random.choice([" | ", "|", " |& ", " | "]) + each
    return made


def result_of(command, room):
    shutil.rmtree(room, ignore_errors=True)
    os.makedirs(room + "/sub")
    os.makedirs(room + "/made")
    for name, text in (("a.txt", "banana\napple\n"), ("b.txt", "cherry\n"), ("sub/s.x", "sub\n"), (".hidden", "h\n")):
        with open(room + "/" + name, "w", encoding="utf-8") as file:
            file.write(text)
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/home of", "X": "one  two", "E": "", "STAR": "*.txt", "BS": "a\\*", "T": "\tb \n",
                   "LC_ALL": "C", "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    done = subprocess.run(command, cwd=room, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)
    files = {}
    for folder, _, names in os.walk(room):
        for name in names:
            with open(folder + "/" + name, "rb") as file:
                files[os.path.relpath(folder + "/" + name, room)] = file.read()
    return done.returncode, done.stdout, files, done.stderr


def main():
    ginnel, count = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    room = tempfile.mkdtemp(prefix="ginnel-like-sh.") + "/room"
    differ = refused = 0
    chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    for _ in range(count):
        text = line(chance)
        ours = result_of([ginnel, "run", text], room)
        if ours[0] == 125: # what cannot run has to be said before anything was done
            refused += 1
        shells = result_of(["dash", "-c", text.replace("|&", "2>&1 |")], room)
        if ours[:3] != shells[:3]:
            differ += 1
            print(f"LINE   {text!r}\n  ginnel {ours}\n  dash   {shells}")
    shutil.rmtree(os.path.dirname(room))
    print(f"{count} lines, {differ} differ, {refused} refused")
    return differ > 0


sys.exit(main())
