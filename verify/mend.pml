/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mending: W of docs/protocol.md, as src/mailbox/sweep.c and trim.c have it. Included by
 * mailbox.pml. Sweeps after x, a number that was seen dead; goes on at swept.
 */

#define SWEEPABLE(number) (member[number] && dead[number])

/* Who is dead and in the records still; 0 nobody. */
#define FIND_DEAD                                                                                 \
    x = 1;                                                                                          \
    do                                                                                              \
    :: x > SENDERS + RECEIVERS -> x = 0; break                                                      \
    :: x <= SENDERS + RECEIVERS && SWEEPABLE(x) && x != me -> break                                 \
    :: else -> x++                                                                                  \
    od

/* Of a claim in slot i: U3 is about to take it back, or would have. */
#ifdef UNBOUNDED
#define BELOW_FLOOR(i) (PHASE(slot[i]) == CLAIMED && LAP(slot[i]) * SLOTS + (i) < floor)
#else
#define BELOW_FLOOR(i) false
#endif

/* Nothing names x, but the words of its messages that are ready, and claims that count for nothing. */
inline names_nothing(number)
{
#ifdef UNBOUNDED
    assert(releaser != number);
#endif
    i = 0;
    do
    :: i < SLOTS ->
        assert(OWNER(slot[i]) != number || PHASE(slot[i]) == READY || PHASE(slot[i]) == FREE || BELOW_FLOOR(i));
        i++
    :: else -> break
    od;
#ifdef TAKE
    i = 1;
    do
    :: i <= CELLS -> assert(OWNER(cell[i]) != number); i++
    :: else -> break
    od;
#endif
#ifdef LARGE
    i = 1;
    do
    :: i <= CHUNKS -> assert(PHASE(chunk[i]) != LOAN || OWNER(chunk[i]) != number); i++
    :: else -> break
    od;
#endif
    i = 0
}

#ifdef UNBOUNDED
/* U4: memory of what was received goes back; goes on at u4_over. */
inline returning_memory()
{
    skip;
U4: STEP
        u = release; r = releaser;
        if :: r == NOBODY && head < (u + 1) * BLOCK -> goto u4_end :: else fi
    END;
    STEP /* asked after the word was read */
#ifdef FLAW_23 /* nobody goes on where a dead one was */
        if :: r != NOBODY -> goto u4_end :: else fi
#else
        if :: r != NOBODY && (r == me || !dead[r]) -> goto u4_end :: else fi
#endif
    END;
    STEP
        if :: release == u && releaser == r -> releaser = me; r = 0 :: else -> goto u4_end fi
    END;
#ifndef FLAW_21
    STEP
        if
        :: floor == u * BLOCK -> floor = (u + 1) * BLOCK
        :: floor == (u + 1) * BLOCK /* by one who died at it */
        :: else -> goto u4_pass
        fi
    END;
#endif
    i = 0;
u4_look:
    STEP
        if
        :: i == BLOCK -> i = 0
        :: i < BLOCK && PHASE(slot[AT(u * BLOCK + i)]) == FREE -> i++; goto u4_look
        :: else -> i = 0; goto u4_pass
        fi
    END;
    STEP /* the hole: what was there is zeros */
        do
        :: i == BLOCK -> i = 0; break
        :: else ->
            w = slot[AT(u * BLOCK + i)];
            assert(PHASE(w) == FREE || (PHASE(w) == CLAIMED && LAP(w) * SLOTS + AT(u * BLOCK + i) < floor));
            w = 0;
            slot[AT(u * BLOCK + i)] = 0; body[AT(u * BLOCK + i)] = 0;
#ifdef LARGE
            body_chunk[AT(u * BLOCK + i)] = 0; body_serial[AT(u * BLOCK + i)] = 0;
#endif
            i++
        od;
        HAS_MEMORY(AT(u * BLOCK)) = false
    END;
#ifdef FLAW_21 /* the floor moves last */
    STEP
        if :: floor == u * BLOCK -> floor = (u + 1) * BLOCK :: else fi
    END;
#endif
u4_pass:
    STEP
        if :: release == u && releaser == me -> release = u + 1; releaser = NOBODY :: else fi;
        goto U4
    END;
u4_end:
    atomic { u = 0; r = 0; goto u4_over }
}
#endif

/* Which places W3 looks at: all, or from where something may be to where nobody has claimed yet. */
#ifdef UNBOUNDED
#define W3_BEGIN (head > floor -> head : floor)
#define W3_ENDS  (i >= reserved || (i >= tail && PHASE(slot[AT(i)]) == FREE && LAP(slot[AT(i)]) <= LAP_OF(i)))
#else
#define W3_BEGIN 0
#define W3_ENDS  (i == SLOTS)
#endif

inline sweeping()
{
    skip;
sweep_begin:
#ifdef FLAW_16 /* all of it under the admission lock: who is stopped there keeps the held messages of x */
    STEP
        if
        :: member[x] && dead[x] && ADMITTED(x) -> ADMIT(x); locked = true
        :: else -> goto sweep_end
        fi
    END;
#endif
sweep_pass:
#ifdef FLAW_6 /* a number is given out again at once */
    goto W5;
#endif
#ifdef TAKE
    c = 1;
W1: /* and W2; each cell until it does not name x any more */
    STEP
        if
        :: c > CELLS -> c = 0; goto W3
        :: else ->
            cw = cell[c];
            if
            :: OWNER(cw) != x -> some = some || PHASE(cw) == RETURNED; cw = 0; c++; goto W1
            :: else
            fi
        fi
    END;
    STEP /* asked after the word was read, and before the slot is */
        if :: !dead[x] -> c = 0; cw = 0; goto sweep_end :: else fi
    END;
    STEP
        f_slot = cell_slot[c]; f_word = slot[f_slot];
        if
        :: PHASE(f_word) == TAKEN && CELL(f_word) == c -> cw = 0; f_back = 6; goto F1
        :: else -> f_word = 0; f_slot = 0
        fi
    END;
W2: STEP
#ifdef FLAW_3 /* moved in two steps: between them it is nowhere */
        if
        :: PHASE(cw) == HELD && cell[c] == cw -> cell[c] = WORD(EMPTY, 0, 0, SERIAL(cw) + 1)
        :: PHASE(cw) == PENDING -> CAS(cell[c], cw, WORD(EMPTY, 0, 0, SERIAL(cw) + 1)); cw = 0; goto W1
        :: else -> cw = 0; goto W1
        fi
    END;
    STEP
        CAS(cell[c], WORD(EMPTY, 0, 0, SERIAL(cw) + 1), WORD(RETURNED, 0, TIMES(cw), SERIAL(cw) + 2));
#else
        if
        :: PHASE(cw) == PENDING -> CAS(cell[c], cw, WORD(EMPTY, 0, 0, SERIAL(cw) + 1))
        :: else -> CAS(cell[c], cw, WORD(RETURNED, 0, TIMES(cw), SERIAL(cw) + 1))
        fi;
#endif
        cw = 0;
#ifdef FLAW_12 /* one look a cell */
        c++;
#endif
        goto W1
    END;
#endif
W3: i = W3_BEGIN;
W3_look: /* each slot until it does not name x any more */
    STEP
        if
#ifdef UNBOUNDED
        :: W3_ENDS -> i = 0; u_back = 2; goto U4 /* and what x was at there */
#else
        :: W3_ENDS -> i = 0; goto W4
#endif
        :: else ->
            w = slot[AT(i)];
            if
#ifdef TAKE
            :: OWNER(w) == x && PHASE(w) == TAKEN -> f_slot = AT(i); f_word = w; w = 0; j = i; f_back = 7; goto F1
#endif
            :: OWNER(w) == x && PHASE(w) == CLAIMED -> skip
            :: else -> w = 0; i++; goto W3_look
            fi
        fi
    END;
    STEP
        if
        :: dead[x] -> m_slot = AT(i); j = i; i = 0; m_back = 7; goto M1
        :: else -> i = 0; w = 0; goto sweep_end
        fi
    END;
W3_back:
    atomic {
        i = j; j = 0;
#ifdef FLAW_11 /* one try a slot: a push that was decided before the death makes it fail */
        i++;
#endif
        goto W3_look
    }
W4:
#ifdef TRIMS
    STEP
        if :: backed == TRIMMING(x) && dead[x] -> skip :: else -> goto W4_chunks fi
    END;
    STEP
        CAS(backed, TRIMMING(x), TRIMMING(me));
        if :: !ok -> goto W4_chunks :: else fi
    END;
    punching();
W4_chunks:
    k = 1; /* also of a block without memory: a lender may have died on a page that came back as it was touched */
#elif defined LARGE
    k = 1;
#endif
#ifdef LARGE
W4_look:
    STEP
        if
        :: k > CHUNKS -> k = 0; goto W4_end
        :: else ->
            s = chunk[k];
            if
            :: PHASE(s) == LOAN && OWNER(s) == x -> skip
            :: PHASE(s) == QUEUED || PHASE(s) == HELD -> skip
            :: else -> s = 0; k++; goto W4_look
            fi
        fi
    END;
    STEP /* the question that the word asks; leaves s as it is if the chunk is nobody's */
        if
        :: PHASE(s) == LOAN -> if :: dead[x] -> skip :: else -> s = 0; k = 0; goto sweep_end fi
        :: PHASE(s) == QUEUED -> if :: PHASE(slot[OWNER(s)]) == FREE -> skip :: else -> s = 0; k++; goto W4_look fi
        :: PHASE(s) == HELD ->
            c = OWNER(s);
            if
            :: (PHASE(cell[c]) == HELD || PHASE(cell[c]) == RETURNED) && cell_chunk[c] == k &&
               cell_serial[c] == SERIAL(s) -> c = 0; s = 0; k++; goto W4_look
            :: else -> c = 0
            fi
        fi
    END;
    STEP
        CAS(chunk[k], s, WORD(FREE, 0, 0, SERIAL(s) + 1));
        s = 0; k++;
        goto W4_look
    END;
W4_end:
#endif
#if defined TAKE && !defined FLAW_14
    STEP /* by us, or by a sweeper who was killed before it said so */
        if :: some -> RAISE :: else fi;
        some = false
    END;
#ifdef SLEEP
    atomic { k_back = 6; k_whom = OF_RECEIVERS; goto K1 }
sweep_woke:
#endif
#endif
#ifndef FLAW_16
    STEP /* once more, under the lock: now nobody can have got the number meanwhile */
        if
        :: locked -> goto W5
        :: !locked && member[x] && dead[x] && ADMITTED(x) -> ADMIT(x); locked = true; goto sweep_pass
        :: else -> goto sweep_end
        fi
    END;
#endif
W5: STEP
        names_nothing(x);
        assert(dead[x]);
        member[x] = false
    END;
#if defined TAKE && defined FLAW_14 /* raised when the number is free already */
    STEP
        if :: some -> RAISE :: else fi;
        some = false
    END;
#endif
    STEP
        ADMIT_END(x); locked = false
    END;
sweep_end:
    atomic {
        if :: locked -> ADMIT_END(x); locked = false :: else fi;
        x = 0;
#ifdef TAKE
        some = false;
#endif
        goto swept
    }
}
