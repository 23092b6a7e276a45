/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames (src/ring/frames.h): one process writes, another reads, and no step is a read-modify-write. Blocks
 * of two frames; the writer takes back the block that the reader has left, and goes on to it by a word that
 * leads there. Contents look like words (a message of any bytes), so that an uncleared place is noticed. The
 * writer may be killed at any step: what it had published is still received.
 */
#ifndef MESSAGES
#define MESSAGES 7
#endif
#define BLOCKS 2
#define WORDS  5 /* of a block: word, contents, word, contents, the word that leads on */
#define NEXT   100
#define JUNK   200 /* contents: like no word that is expected */

byte memory[10];
byte blocks_left; /* the reader's count, which the writer looks at */
byte published;
bool killed;

#ifdef DEATHS
active proctype killer()
{
    killed = true /* at any moment */
}
#endif

active proctype writer()
{
    byte block, place, number, filled;

    {
    do
    :: number == MESSAGES -> break
    :: else ->
        if
        :: place == 2 -> /* the block is full: the next one has to be left by the reader */
#ifndef FLAW_41 /* does not wait for it */
Y1:         (filled + 1 - blocks_left < BLOCKS);
#endif
#ifndef FLAW_42 /* the first word of the block is not cleared before it leads there */
Y2:         memory[(1 - block) * WORDS] = 0;
#endif
Y3:         memory[block * WORDS + 4] = NEXT + (1 - block);
            filled++; block = 1 - block; place = 0
        :: else
        fi;
#ifndef FLAW_43 /* the place of the next word is not cleared */
Y4:     memory[block * WORDS + place * 2 + 2] = 0;
#endif
#ifdef FLAW_44 /* published before its contents are there */
        atomic { memory[block * WORDS + place * 2] = number + 1; published++ };
        memory[block * WORDS + place * 2 + 1] = JUNK + number % 50;
#else
        memory[block * WORDS + place * 2 + 1] = JUNK + number % 50;
Y5:     atomic { memory[block * WORDS + place * 2] = number + 1; published++ };
#endif
        place++; number++
    od
    } unless { killed }
}

active proctype reader()
{
    byte block, place, number, word;

    do
    :: atomic { memory[block * WORDS + place * 2] != 0 -> word = memory[block * WORDS + place * 2] }; /* Y6 */
        if
        :: word >= NEXT && word < JUNK ->
            assert(word == NEXT + (1 - block));
            block = 1 - block; place = 0;
Y7:         blocks_left++
        :: else ->
            assert(word == number + 1); /* neither an older message's word nor contents */
            assert(memory[block * WORDS + place * 2 + 1] == JUNK + number % 50);
            number++; place++
        fi;
        word = 0
    :: timeout -> break
    od;
    assert(number == published);
    assert(killed || number == MESSAGES)
}
