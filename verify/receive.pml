/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving: A, R, T, F, D and G of docs/protocol.md, as src/ring/slots.c and src/mailbox/cells.c,
 * receive.c have them. Included by mailbox.pml.
 */

/* The cursor after a look past living claims. */
#define SLOW_END                                                                                  \
    next_in = (skips > 0 -> skipped[0] : resume); j = 0; crowded = false;                                            \
    if                                                                                              \
    :: skips == 0 -> slow = false; resume = 0; if :: head < next_in -> head = next_in :: else fi        \
    :: else                                                                                         \
    fi

/* There may be something to adopt. */
#ifdef FLAW_13
#define RAISE returned = 1
#else
#define RAISE returned = (returned + 2) | 1
#endif

/* Of what was read as w: nobody has sent there yet, so it seems, or is about to. */
#define NOTHING_AT(position)                                                                      \
    (LAP(w) < LAP_OF(position) || (LAP(w) == LAP_OF(position) && (PHASE(w) == FREE || PHASE(w) == CLAIMED)))

/* What receiver `me` gets for the first time: not doubled, not withdrawn, in the order sent. */
#define RECEIVED(message)                                                                         \
    assert(message != 0 && !withdrawn[message] && !delivered[message] && !done[message]);           \
    delivered[message] = true;                                                                      \
    if                                                                                              \
    :: message <= SENDERS * MESSAGES ->                                                              \
        assert(message > order[SENDER_OF(message)]);                                                \
        order[SENDER_OF(message)] = message                                                         \
    :: else                                                                                         \
    fi

/* One attempt: goes on at got (copied, or held in cell c as cw) or at nothing. */
inline receiving()
{
    skip;
receive_begin:
#ifdef TAKE
    STEP
        v = returned;
        if :: v & 1 -> c = 1 :: else -> v = 0; goto R0 fi
    END;
adopt_look:
    STEP
        if
        :: c > CELLS -> goto adopt_none
        :: c <= CELLS && PHASE(cell[c]) != RETURNED -> c++; goto adopt_look
        :: else -> cw = cell[c]
        fi
    END;
A1: STEP
        CAS(cell[c], cw, WORD(HELD, me, TIMES(cw) + 1, SERIAL(cw) + 1));
        if
        :: ok ->
            cw = WORD(HELD, me, TIMES(cw) + 1, SERIAL(cw) + 1);
            assert(!done[cell_body[c]] && !withdrawn[cell_body[c]]);
#ifdef FLAW_13
            goto raise
#else
            v = 0;
            goto got
#endif
        :: else -> c++; goto adopt_look
        fi
    END;
#ifdef FLAW_13 /* lowered, then looked once more, then raised again: hidden from the others meanwhile */
adopt_none:
    STEP
        c = 0; cw = 0;
        if
        :: v == 255 -> v = 0; goto R0
        :: else -> returned = 0; v = 255; c = 1; goto adopt_look
        fi
    END;
raise:
    STEP
        if :: v == 255 -> returned = 1 :: else fi;
        v = 0;
        goto got
    END;
#else
adopt_none: /* lowered only if nothing was given back since */
    STEP
        CAS(returned, v, v & 254);
        c = 0; cw = 0; v = 0
    END;
#endif
#endif

R0:
    h = HINT;
R1: STEP
        if
        :: h == HINT && next_in >= head -> h = next_in
        :: h == HINT && next_in < head -> h = head
        :: h == HINT && next_in < head -> h = next_in /* an old hint */
        :: h != HINT
        fi;
#ifdef UNBOUNDED
        if :: h < floor -> h = floor :: true fi; /* or that of old */
        if :: h >= reserved -> goto nothing :: else fi;
#endif
        w = slot[AT(h)];
        BOUNDED;
        if
        :: LAP(w) == LAP_OF(h) && PHASE(w) == READY -> p = h; goto found
#ifdef TAKE
        :: LAP(w) == LAP_OF(h) && PHASE(w) == TAKEN -> f_slot = AT(h); f_word = w; f_back = 2; goto F1
#endif
        :: LAP(w) == LAP_OF(h) && PHASE(w) == CLAIMED -> goto slowly
        :: LAP(w) < LAP_OF(h) || (LAP(w) == LAP_OF(h) && PHASE(w) == FREE) ->
            if :: slow -> goto slowly :: else -> goto none_there fi
        :: LAP(w) > LAP_OF(h) ->
            if
            :: slow -> goto slowly
            :: else ->
                if :: LAP(w) > LAP_OF(h) + 2 -> h = (LAP(w) - 2) * SLOTS + AT(h) :: else fi;
                h++; next_in = h;
                if :: head < h -> head = h :: else fi;
                goto R1
            fi
        fi
    END;

none_there:
#if defined UNBOUNDED && !defined FLAW_18 /* received, given back and zeros since the hint was read? */
    STEP
        if :: h < floor -> h = floor; w = 0; goto R1 :: else fi
    END;
#endif
    goto nothing;

slowly: /* past living claims, which are remembered from one call to the next */
    atomic {
        w = 0;
        if
        :: !slow -> slow = true; resume = h
        :: else
        fi
    }
    h = 0;
skip_look: /* R1 at `resume` */
    STEP
#ifdef UNBOUNDED
        if :: resume >= reserved -> p = 0; j = 0; goto R2 :: else fi;
#endif
        w = slot[AT(resume)];
        BOUNDED;
        if
#if defined UNBOUNDED && !defined FLAW_18
        :: NOTHING_AT(resume) && resume < floor -> resume = floor; goto skip_look
        :: NOTHING_AT(resume) && resume >= floor && PHASE(w) != CLAIMED -> p = 0; j = 0; goto R2
        :: LAP(w) < LAP_OF(resume) && resume >= floor && PHASE(w) == CLAIMED -> p = 0; j = 0; goto R2
        :: LAP(w) == LAP_OF(resume) && resume >= floor && PHASE(w) == CLAIMED -> skip
#else
        :: LAP(w) == LAP_OF(resume) && PHASE(w) == CLAIMED -> skip
        :: LAP(w) < LAP_OF(resume) || (LAP(w) == LAP_OF(resume) && PHASE(w) == FREE) -> p = 0; j = 0; goto R2
#endif
        :: LAP(w) > LAP_OF(resume) -> resume++; goto skip_look
#ifdef TAKE
        :: LAP(w) == LAP_OF(resume) && PHASE(w) == TAKEN -> f_slot = AT(resume); f_word = w; f_back = 3; goto F1
#endif
        :: LAP(w) == LAP_OF(resume) && PHASE(w) == READY -> p = w; j = 0; goto R2
        fi
    END;
    STEP
        if
        :: dead[OWNER(w)] -> m_slot = AT(resume); m_back = 3; goto M1
        :: !dead[OWNER(w)] && skips < SKIPS -> skipped[skips] = resume; skips++; resume++; goto skip_look
#ifdef FLAW_15 /* as many skipped as can be remembered: given up before they were read again */
        :: !dead[OWNER(w)] && skips == SKIPS -> next_in = skipped[0]; goto nothing
#else
        :: !dead[OWNER(w)] && skips == SKIPS -> crowded = true; p = 0; j = 0; goto R2
#endif
        fi
    END;
R2: /* all of skipped again, lowest first; p is the word of the ready slot at `resume`, or 0 */
    STEP
        if
#ifdef FLAW_5
        :: p != 0 -> w = p; p = resume; goto found_slowly
        :: p == 0 && j == skips -> goto nothing_slowly
        :: p == 0 && j < skips ->
#else
        :: j == skips && p != 0 -> w = p; p = resume; goto found_slowly
        :: j == skips && p == 0 && crowded && skips < SKIPS -> crowded = false; j = 0; goto skip_look
        :: j == skips && p == 0 && !(crowded && skips < SKIPS) -> goto nothing_slowly
        :: j < skips ->
#endif
            w = slot[AT(skipped[j])];
            BOUNDED;
            if
            :: LAP(w) != LAP_OF(skipped[j]) || PHASE(w) == FREE -> /* forgotten */
                i = j + 1;
                do :: i < skips -> skipped[i - 1] = skipped[i]; i++ :: else -> break od;
                skips--; skipped[skips] = 0; i = 0;
                goto R2
            :: LAP(w) == LAP_OF(skipped[j]) && PHASE(w) == READY -> p = skipped[j]; goto found_slowly
#ifdef TAKE
            :: LAP(w) == LAP_OF(skipped[j]) && PHASE(w) == TAKEN -> f_slot = AT(skipped[j]); f_word = w; f_back = 4; goto F1
#endif
            :: LAP(w) == LAP_OF(skipped[j]) && PHASE(w) == CLAIMED -> skip
            fi
        fi
    END;
    STEP
        if
        :: dead[OWNER(w)] -> m_slot = AT(skipped[j]); m_back = 4; goto M1
        :: else -> j++; goto R2
        fi
    END;
found_slowly:
    atomic { SLOW_END; goto found }
nothing_slowly:
    atomic { SLOW_END; goto nothing }

found: /* ready(p), read as w */
#ifndef TAKE
    atomic { h = 0; skip }
R4: STEP
        m = body[AT(p)]
    END;
R5: STEP
        CAS(slot[AT(p)], w, WORD(FREE, 0, 0, LAP(w) + 1));
        w = 0;
        if
        :: !ok -> m = 0; p = 0; goto receive_begin
        :: else -> assert(HAS_MEMORY(AT(p))); RECEIVED(m); done[m] = true
        fi
    END;
#else
    atomic { h = 0; if :: my_cell != 0 -> goto T2 :: else -> c = 1 fi }
T1: STEP /* first a look, then the compare-and-swap */
        if
        :: c > CELLS -> c = 0; p = 0; w = 0; goto nothing /* a full pool stops new takes */
        :: c <= CELLS && PHASE(cell[c]) != EMPTY -> c++; goto T1
        :: else -> cw = WORD(PENDING, me, 1, SERIAL(cell[c]))
        fi
    END;
    STEP
        CAS(cell[c], WORD(EMPTY, 0, 0, SERIAL(cw)), cw);
        if
        :: ok -> my_cell = c; my_word = cw; c = 0; cw = 0
        :: else -> c++; cw = 0; goto T1
        fi
    END;
T2: STEP
        cell_slot[my_cell] = AT(p);
        cell_body[my_cell] = body[AT(p)];
#ifdef LARGE
        cell_chunk[my_cell] = body_chunk[AT(p)]; cell_serial[my_cell] = body_serial[AT(p)];
#endif
    END;
T3: STEP
        CAS(slot[AT(p)], w, WORD(TAKEN, me, my_cell, LAP(w)));
        if
        :: !ok -> w = 0; p = 0; goto R0 /* the cell is kept for the next try */
        :: else -> f_slot = AT(p); f_word = slot[AT(p)]; f_back = 5; w = 0; goto F1
        fi
    END;
T4_back: /* T4: finished, by us or by others */
    STEP
        c = my_cell; cw = WORD(HELD, me, 1, SERIAL(my_word));
        my_cell = 0; my_word = 0;
        assert(cell[c] == cw);
        RECEIVED(cell_body[c])
    END;
#endif
    STEP
#ifdef UNBOUNDED
        u_due = (p % BLOCK == BLOCK - 1);
#endif
        if
        :: !slow ->
            if :: next_in < p + 1 -> next_in = p + 1 :: else fi;
            if :: head < p + 1 -> head = p + 1 :: else fi
        :: else
        fi;
        p = 0
    END;
#ifdef UNBOUNDED
    if :: u_due -> u_due = false; u_back = 1; goto U4 :: else fi;
returned_memory:
#endif
R6:
#if defined SLEEP && !defined TAKE /* else F6 does */
    atomic { k_back = 3; k_whom = OF_SENDERS; goto K1 }
#else
    goto got
#endif
}

#ifdef TAKE
/* F: anyone, at any time, of the slot f_slot that was read as f_word; goes on at f_over. */
inline finishing()
{
    skip;
F1: skip;
#ifdef FLAW_17 /* only its owner finishes what it took, while it lives */
    if :: OWNER(f_word) != me && !dead[OWNER(f_word)] -> goto f_end :: else fi;
#endif
F2: STEP
        f_cell = cell[CELL(f_word)];
#ifdef LARGE
        f_chunk = cell_chunk[CELL(f_word)]; f_serial = cell_serial[CELL(f_word)]
#endif
    END;
F3: STEP
        if :: slot[f_slot] != f_word -> goto f_end :: else fi
    END;
F4: STEP
        if
        :: PHASE(f_cell) == PENDING && OWNER(f_cell) == OWNER(f_word) ->
            CAS(cell[CELL(f_word)], f_cell, WORD(HELD, OWNER(f_cell), TIMES(f_cell), SERIAL(f_cell)))
        :: else
        fi
    END;
#ifdef LARGE
F5: STEP
        CAS(chunk[f_chunk], WORD(QUEUED, f_slot, 0, f_serial), WORD(HELD, CELL(f_word), 0, f_serial))
    END;
#endif
F6: STEP
        CAS(slot[f_slot], f_word, WORD(FREE, 0, 0, LAP(f_word) + 1));
#ifdef SLEEP
        if :: ok -> goto f_wake :: else fi
#endif
    END;
f_end:
    atomic {
        f_word = 0; f_cell = 0; f_slot = 0;
#ifdef LARGE
        f_chunk = 0; f_serial = 0;
#endif
        goto f_over
    }
#ifdef SLEEP
f_wake:
    atomic { k_back = 4; k_whom = OF_SENDERS; goto K1 }
#endif
}

/* T3 failed, and nothing else is wanted: the cell is empty again. */
inline releasing()
{
    STEP
        if
        :: my_cell != 0 ->
            CAS(cell[my_cell], my_word, WORD(EMPTY, 0, 0, SERIAL(my_word) + 1));
            assert(ok);
            my_cell = 0; my_word = 0
        :: else
        fi
    END
}

/* D and G, of cell c held as cw; goes on at used. */
inline using()
{
    if
    :: goto D1
#if GIVES > 0
    :: atomic { me != SURVIVOR && gives < GIVES -> gives++ };
        goto G1
#endif
    fi;
D1: STEP
#ifdef LARGE
        k = cell_chunk[c]; s = cell_serial[c];
        assert(chunk[k] == WORD(HELD, c, 0, s) && chunk_bytes[k] == cell_body[c]);
#endif
        m = cell_body[c];
        CAS(cell[c], cw, WORD(EMPTY, 0, 0, SERIAL(cw) + 1));
        assert(ok && !done[m] && !withdrawn[m]);
        done[m] = true;
        m = 0; cw = 0;
#ifndef LARGE
        c = 0;
#endif
    END;
#ifdef LARGE
D2: STEP
        CAS(chunk[k], WORD(HELD, c, 0, s), WORD(FREE, 0, 0, s + 1));
        k = 0; s = 0; c = 0
    END;
#endif
    goto used;
#if GIVES > 0
G1: STEP
        CAS(cell[c], cw, WORD(RETURNED, 0, TIMES(cw), SERIAL(cw) + 1));
        assert(ok);
        c = 0; cw = 0
    END;
    STEP
        RAISE
    END;
#ifdef SLEEP
    atomic { k_back = 5; k_whom = OF_RECEIVERS; goto K1 }
#else
    goto used
#endif
#endif
}
#endif
