/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending: S and Z of docs/protocol.md, as src/ring/slots.c and src/mailbox/send.c have them.
 * Included by mailbox.pml. A process sends `m`; it goes on at send_done, send_full or send_withdrawn.
 */

/* The hints that a claim moves. */
#define CLAIM_STANDS next_out = t + 1; if :: tail < t + 1 -> tail = t + 1 :: else fi

#ifdef FLAW_4 /* nothing pushes a living claim on */
#define MAY_PUSH false
#else
#define MAY_PUSH true
#endif

inline sending()
{
    skip;
send_begin:
    t = HINT;
S1: STEP
        if
        :: t == HINT && next_out >= tail -> t = next_out
        :: t == HINT && next_out < tail -> t = tail
        :: t == HINT && next_out < tail -> t = next_out /* an old hint */
        :: t != HINT
        fi;
#ifdef UNBOUNDED
        if :: t < floor -> t = floor :: true fi; /* or that of old */
        if :: t >= reserved -> goto U1 :: else fi;
#endif
        w = slot[AT(t)];
        BOUNDED;
        if
        :: LAP(w) > LAP_OF(t) + 1 -> t = (LAP(w) - 1) * SLOTS + AT(t) + 1; goto S1
        :: LAP(w) == LAP_OF(t) + 1 || (LAP(w) == LAP_OF(t) && PHASE(w) != FREE) -> t++; goto S1
        :: LAP(w) == LAP_OF(t) && PHASE(w) == FREE -> goto S2
#ifdef UNBOUNDED /* U2: what came back as zeros is free at any lap */
        :: LAP(w) < LAP_OF(t) && PHASE(w) == FREE -> goto S2
        :: LAP(w) < LAP_OF(t) && PHASE(w) != FREE ->
            assert(PHASE(w) == CLAIMED); /* a message of the lap before would have kept its block */
#else
        :: LAP(w) < LAP_OF(t) ->
            assert(LAP(w) + 1 == LAP_OF(t) && PHASE(w) != FREE); /* else the library says -EBADMSG */
#endif
            if
            :: PHASE(w) == READY -> goto send_full
#ifdef TAKE
            :: PHASE(w) == TAKEN -> f_slot = AT(t); f_word = w; f_back = 1; goto F1
#endif
            :: PHASE(w) == CLAIMED -> skip
            fi
        fi
    END;
#if defined UNBOUNDED && !defined FLAW_19 /* U3's: its owner won't keep it, nor who gets its number one day */
    atomic { m_slot = AT(t); m_back = 1; goto M1 }
#endif
    STEP /* asked after the word was read */
        if
        :: dead[OWNER(w)] -> m_slot = AT(t); m_back = 1; goto M1
        :: else -> i = 1
        fi
    END;
room: /* S7: is one of the next N-1 free? */
    STEP
        if
        :: i == SLOTS || !MAY_PUSH -> /* that holds for this lap only: others may have gone on meanwhile */
            i = 0;
            if :: slot[AT(t)] == w -> goto send_full :: else -> goto S1 fi
#ifdef UNBOUNDED
        :: i < SLOTS && MAY_PUSH && t + i >= reserved -> i = 0 /* not even touched yet */
        :: i < SLOTS && MAY_PUSH && t + i < reserved ->
            w2 = slot[AT(t + i)];
            if
            :: !(PHASE(w2) == FREE && LAP(w2) <= LAP_OF(t + i)) -> i = SLOTS; w2 = 0; goto room /* one look */
#else
        :: else ->
            w2 = slot[AT(t + i)];
            if
#endif
            :: PHASE(w2) == FREE && LAP(w2) <= LAP_OF(t + i) -> i = 0; w2 = 0
#ifndef UNBOUNDED
            :: else -> i++; w2 = 0; goto room
#endif
            fi
        fi
    END;
S7: STEP
        CAS(slot[AT(t)], w, WORD(CLAIMED, OWNER(w), 0, LAP_OF(t)));
        if :: ok -> t++ :: else fi;
        goto S1
    END;

S2: STEP
        CAS(slot[AT(t)], w, WORD(CLAIMED, me, 0, LAP_OF(t)));
        w = 0;
        if
        :: !ok -> goto S1
#ifndef UNBOUNDED
        :: else -> CLAIM_STANDS
#else
        :: else
#endif
        fi
    END;
#ifdef UNBOUNDED
U3: STEP
        if
#ifdef FLAW_20 /* nobody looks at the floor */
        :: CLAIM_STANDS; goto S3
#else
        :: t >= floor -> CLAIM_STANDS; goto S3
        :: else
#endif
        fi
    END;
    STEP
#ifdef FLAW_19
        w = slot[AT(t)];
        if :: PHASE(w) == CLAIMED && OWNER(w) == me && LAP(w) != LAP_OF(t) -> /* pushed on */
            t = LAP(w) * SLOTS + AT(t); w = 0; goto U3
        :: else
        fi;
#endif
        CAS(slot[AT(t)], WORD(CLAIMED, me, 0, LAP_OF(t)), 0); /* else its page is gone, or S1 took it away */
        w = 0; t = floor;
        goto S1
    END;
U1: STEP
        r = reserved;
        if :: t < r -> r = 0; goto S1 :: else fi
    END;
    STEP
#ifndef FLAW_22 /* the block of a whole lap before may be on its way out still */
        if :: r / BLOCK - release >= BLOCKS -> r = 0; w = 0; goto send_full :: else fi
#else
        if :: r / BLOCK - floor / BLOCK >= BLOCKS -> r = 0; w = 0; goto send_full :: else fi
#endif
    END;
    STEP
        HAS_MEMORY(AT(r)) = true
    END;
    STEP
        CAS(reserved, r, r + BLOCK);
        r = 0;
        goto S1
    END;
#endif
S3: STEP
        assert(HAS_MEMORY(AT(t)));
        body[AT(t)] = m;
#ifdef LARGE
        body_chunk[AT(t)] = k; body_serial[AT(t)] = s;
#endif
    END;
#if defined LARGE && !defined FLAW_9
S4: STEP
        CAS(chunk[k], WORD(LOAN, me, 0, s), WORD(QUEUED, AT(t), 0, s));
        assert(ok)
    END;
#endif
#ifdef FLAW_7 /* a plain store: the flag is looked at before the others see *ready* */
    STEP seen_flag = flag[OF_RECEIVERS] END;
#endif
S5: STEP /* one read-modify-write: it keeps the position that others have pushed the claim to */
        w = slot[AT(t)];
        assert(PHASE(w) == CLAIMED && OWNER(w) == me && HAS_MEMORY(AT(t)));
        t = LAP(w) * SLOTS + AT(t);
        slot[AT(t)] = WORD(READY, me, 0, LAP(w));
        w = 0;
#ifndef RENDEZVOUS
        sent[m] = true
#endif
    END;
#if defined LARGE && defined FLAW_9
    STEP
        CAS(chunk[k], WORD(LOAN, me, 0, s), WORD(QUEUED, AT(t), 0, s))
    END;
#endif
#ifdef SLEEP
S6: atomic { k_back = 1; k_whom = OF_RECEIVERS; goto K1 }
S6_back:
#endif
#ifndef RENDEZVOUS
    goto send_done;
#else
Z1: if /* waits; there is no telling how long */
    KILLED STOPPED
    :: atomic { slot[AT(t)] != WORD(READY, me, 0, LAP_OF(t)) -> sent[m] = true; goto send_done }
    :: atomic { true -> skip } /* timed out */
    fi;
Z2: STEP
        CAS(slot[AT(t)], WORD(READY, me, 0, LAP_OF(t)), WORD(CLAIMED, me, 0, LAP_OF(t)));
        if
        :: !ok -> sent[m] = true; goto send_done
        :: else -> withdrawn[m] = true
        fi
    END;
#ifdef LARGE
Z3: STEP
#ifdef FLAW_10 /* the chunk comes back under the serial that it went out with */
        CAS(chunk[k], WORD(QUEUED, AT(t), 0, s), WORD(LOAN, me, 0, s));
#else
        CAS(chunk[k], WORD(QUEUED, AT(t), 0, s), WORD(LOAN, me, 0, s + 1));
        s++;
#endif
        assert(ok)
    END;
#endif
Z4: STEP
        w = slot[AT(t)];
        assert(PHASE(w) == CLAIMED && OWNER(w) == me);
        slot[AT(t)] = WORD(FREE, 0, 0, LAP(w) + 1);
        w = 0
    END;
#ifdef SLEEP
    atomic { k_back = 2; k_whom = OF_SENDERS; goto K1 }
#else
    goto send_withdrawn
#endif
#endif
}

/* M1: of a dead owner's claim `w` in slot `m_slot`; goes on at m1_over. */
inline undoing()
{
    skip;
M1:
#ifdef LARGE
    STEP
        m_chunk = body_chunk[m_slot]; m_serial = body_serial[m_slot]
    END;
    STEP
        if :: slot[m_slot] != w -> goto m1_end :: else fi
    END;
    STEP /* no chunk is 0: nothing was ever written there */
        if
        :: m_chunk != 0 -> CAS(chunk[m_chunk], WORD(QUEUED, m_slot, 0, m_serial), WORD(FREE, 0, 0, m_serial + 1))
        :: else
        fi
    END;
#endif
    STEP
#ifdef FLAW_1
        CAS(slot[m_slot], w, WORD(FREE, 0, 0, LAP(w)));
#else
        CAS(slot[m_slot], w, WORD(FREE, 0, 0, LAP(w) + 1));
#endif
    END;
m1_end:
    atomic {
        w = 0; m_slot = 0;
#ifdef LARGE
        m_chunk = 0; m_serial = 0;
#endif
        goto m1_over
    }
}

#ifdef LARGE
/* A chunk for message m: goes on at loan_done, or loan_none. */
#ifndef TRIMS
inline lending()
{
    k = 1;
loan_look:
    STEP
        if
        :: k > CHUNKS -> k = 0; goto loan_none
        :: k <= CHUNKS && PHASE(chunk[k]) != FREE -> k++; goto loan_look
        :: else -> s = SERIAL(chunk[k])
        fi
    END;
    STEP
        CAS(chunk[k], WORD(FREE, 0, 0, s), WORD(LOAN, me, 0, s));
        if
        :: !ok -> k++; goto loan_look
        :: else -> chunk_bytes[k] = m
        fi
    END;
    goto loan_done
}
#else
#define NEW_SERIAL(word) if :: word == 0 -> serials++; s = serials :: else fi

inline lending()
{
    k = 1;
loan_look: /* is there memory? */
    STEP
        if
        :: k > CHUNKS -> k = 0; goto loan_none
        :: k <= CHUNKS && backed == BACKED_NOT -> skip
        :: k <= CHUNKS && backed == BACKED -> goto loan_word
        :: k <= CHUNKS && backed > BACKED -> k++; goto loan_look
        fi
    END;
    STEP
        CAS(backed, BACKED_NOT, BACKED);
        goto loan_look
    END;
loan_word:
    STEP
        if
        :: PHASE(chunk[k]) != FREE -> k++; goto loan_look
        :: else -> w2 = chunk[k]; s = SERIAL(w2)
        fi
    END;
    STEP /* never used, or its word vanished: it has no serial */
        NEW_SERIAL(w2)
    END;
    STEP
        CAS(chunk[k], w2, WORD(LOAN, me, 0, s));
        w2 = 0;
        if :: !ok -> k++; s = 0; goto loan_look :: else fi
    END;
#ifndef FLAW_25
    STEP /* and is it there still? */
        if :: backed == BACKED -> skip :: else -> goto loan_back fi
    END;
    STEP /* or is it there again, and lent to somebody else? */
        if :: chunk[k] == WORD(LOAN, me, 0, s) -> skip :: else -> k++; s = 0; goto loan_look fi
    END;
#endif
    STEP
        assert(backed == BACKED);
        chunk_bytes[k] = m;
        goto loan_done
    END;
loan_back:
    STEP
        CAS(chunk[k], WORD(LOAN, me, 0, s), WORD(FREE, 0, 0, s + 1));
        k++; s = 0;
        goto loan_look
    END
}
#endif

#ifdef TRIMS
/* The memory of the block goes, and its words with it. Its mark is ours. */
inline punching()
{
    STEP
        k = 1;
        do :: k > CHUNKS -> break :: else -> chunk[k] = 0; chunk_bytes[k] = 0; k++ od;
        k = 0
    END;
    STEP
        CAS(backed, TRIMMING(me), BACKED_NOT)
    END
}

/* If all chunks are free; goes on at trimmed. */
inline trimming()
{
    k = 1;
    STEP
        if :: backed != BACKED -> k = 0; goto trimmed :: else fi
    END;
trim_look:
    STEP
        if
        :: k > CHUNKS -> k = 1
        :: k <= CHUNKS && PHASE(chunk[k]) == FREE -> k++; goto trim_look
        :: else -> k = 0; goto trimmed
        fi
    END;
trim_lend:
    STEP
        if
        :: k > CHUNKS -> goto trim_mark
        :: k <= CHUNKS && PHASE(chunk[k]) == FREE -> w = chunk[k]; s = SERIAL(w)
        :: else -> goto trim_undo
        fi
    END;
    STEP
        NEW_SERIAL(w)
    END;
    STEP
        CAS(chunk[k], w, WORD(LOAN, me, 0, s));
        w = 0; s = 0;
        if :: ok -> k++; goto trim_lend :: else -> goto trim_undo fi
    END;
trim_mark:
    STEP /* new serials are from beyond those that vanish */
        k = 1;
        do
        :: k > CHUNKS -> break
        :: else -> if :: SERIAL(chunk[k]) > serials -> serials = SERIAL(chunk[k]) :: else fi; k++
        od
    END;
    STEP
        CAS(backed, BACKED, TRIMMING(me));
        if :: !ok -> goto trim_undo :: else fi
    END;
    punching();
    goto trimmed;
trim_undo:
    STEP
        k--;
        if
        :: k == 0 -> goto trimmed
        :: else -> if :: PHASE(chunk[k]) == LOAN && OWNER(chunk[k]) == me -> s = chunk[k] :: else -> goto trim_undo fi
        fi
    END;
    STEP
        CAS(chunk[k], s, WORD(FREE, 0, 0, SERIAL(s) + 1));
        s = 0;
        goto trim_undo
    END
}
#endif

/* What was not sent is not needed any more. */
inline dropping()
{
    STEP
        CAS(chunk[k], WORD(LOAN, me, 0, s), WORD(FREE, 0, 0, s + 1));
        assert(ok);
        k = 0; s = 0
    END
}
#endif
