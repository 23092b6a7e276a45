/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mailbox protocol as a Spin model: docs/protocol.md step by step, with its labels. What is
 * checked, and in which configurations, is in README.md; `run` runs them.
 *
 * Senders send, receivers receive and mend what they find, all until the work is done or they are
 * killed or stopped. When nobody is left, a survivor opens the mailbox, sweeps, receives what there is,
 * sends and receives one more message, and judges what it sees by the ledger.
 */
#include "words.pml"
#include "send.pml"
#include "receive.pml"
#include "mend.pml"
#include "sleep.pml"
#include "join.pml"

/* What every process has of its own. */
#ifdef TAKE
#define LOCALS_TAKE   byte c, f_slot, f_back; short f_word, f_cell, cw;
#else
#define LOCALS_TAKE
#endif
#ifdef LARGE
#define LOCALS_LARGE  byte k, f_chunk, f_serial, m_chunk, m_serial; short s;
#else
#define LOCALS_LARGE
#endif
#ifdef SLEEP
#define LOCALS_SLEEP  byte k_back, k_whom, seen; bool armed;
#else
#define LOCALS_SLEEP
#endif
#ifdef FLAW_7
#define LOCALS_FLAW_7 bool seen_flag;
#else
#define LOCALS_FLAW_7
#endif
#ifdef UNBOUNDED
#define LOCALS_UNBOUNDED byte r, u, u_back; bool u_due;
#else
#define LOCALS_UNBOUNDED
#endif
#define LOCALS                                                                                    \
    byte i, m, m_slot, m_back; short w; bool ok;                                                    \
    LOCALS_TAKE LOCALS_LARGE LOCALS_SLEEP LOCALS_FLAW_7 LOCALS_UNBOUNDED
#define LOCALS_SEND   byte t, next_out; short w2;
#define LOCALS_RECEIVE                                                                            \
    byte h, p, j, next_in, resume, skips, x; byte skipped[SKIPS + 1]; byte order[SENDERS + 1];       \
    bool slow, locked, crowded; LOCALS_HOLD
#ifdef TAKE
#define LOCALS_HOLD   byte my_cell, v; short my_word; bool some;
#else
#define LOCALS_HOLD
#endif

/* Where a subroutine goes on. */
#ifdef TAKE
#define F_OVER_IN_S   f_over: atomic { assert(f_back == 1); f_back = 0; goto S1 }
#define F_OVER_IN_R                                                                               \
    :: f_back == 2 -> f_back = 0; if :: slow -> goto slowly :: else -> goto R1 fi                     \
    :: f_back == 3 -> f_back = 0; goto skip_look                                                    \
    :: f_back == 4 -> f_back = 0; goto R2                                                           \
    :: f_back == 5 -> f_back = 0; goto T4_back                                                      \
    :: f_back == 6 -> f_back = 0; goto W1                                                           \
    :: f_back == 7 -> f_back = 0; goto W3_back
#endif
#define M1_OVER_IN_R                                                                              \
    :: m_back == 3 -> m_back = 0; goto skip_look                                                    \
    :: m_back == 4 -> m_back = 0; goto R2                                                           \
    :: m_back == 7 -> m_back = 0; goto W3_back

#define U4_OVER_IN_R                                                                              \
    :: u_back == 1 -> u_back = 0; goto returned_memory                                               \
    :: u_back == 2 -> u_back = 0; goto W4                                                           \
    :: u_back == 3 -> u_back = 0; goto tidied

#define EXISTS_READY (PHASE(slot[0]) == READY || PHASE(slot[SLOTS - 1]) == READY || PHASE(slot[SLOTS / 2]) == READY)
#define EXISTS_TAKEN (PHASE(slot[0]) == TAKEN || PHASE(slot[SLOTS - 1]) == TAKEN || PHASE(slot[SLOTS / 2]) == TAKEN)
#ifdef TAKE
#define EXISTS_RETURNED (returned & 1)
#else
#define EXISTS_RETURNED false
#endif

/* ---- a sender; a newcomer sends under a number that somebody had before ---- */

proctype Sender(byte me; bool newcomer)
{
    byte number;
    byte rounds;
    LOCALS
    LOCALS_SEND

#if NEWCOMERS > 0
    if :: !newcomer -> goto send_next :: else fi;
    joining();
joined:
#endif
send_next:
    atomic {
#ifdef SLEEP
        armed = false; seen = 0;
#endif
        t = 0; m = 0;
        if
        :: !newcomer && number < MESSAGES -> number++; m = MESSAGE(me, number)
        :: newcomer && number < 1 -> number++; m = SENDERS * MESSAGES + _pid - SENDERS - RECEIVERS
        :: else -> goto finish
        fi
    }
#ifdef LARGE
    lending();
loan_none: /* -ENOSPC */
    goto leave;
loan_done:
#endif
    sending();

send_done:
progress_sent:
#ifdef LARGE
    atomic { k = 0; s = 0 }
#endif
    goto send_next;

send_withdrawn:
#ifdef RENDEZVOUS
#if REPOSTS > 0
    if
    :: atomic { reposts < REPOSTS -> reposts++; withdrawn[m] = false };
        goto send_begin
    :: true
    fi;
#endif
#ifdef LARGE
    dropping();
#endif
    goto send_next;
#endif

send_full:
#ifdef UNBOUNDED /* -ENOSPC */
    if
    KILLED STOPPED
    :: atomic { (w == 0 -> t < reserved || reserved / BLOCK - release < BLOCKS : slot[AT(t)] != w) -> w = 0; goto send_begin }
    :: atomic { receivers_left == 0 -> w = 0 } /* nobody will ever receive: give up */
    fi;
#ifdef LARGE
    dropping();
#endif
    goto leave;
#elif defined SLEEP
    sleeping(OF_SENDERS, receivers_left == 0);
again:
    goto send_begin;
#else
    if
    KILLED STOPPED
    :: atomic { slot[AT(t)] != w || (PHASE(w) == CLAIMED && (dead[OWNER(w)] || PHASE(slot[AT(t + 1)]) == FREE)) ->
         w = 0; goto send_begin }
    :: atomic { receivers_left == 0 -> w = 0 } /* nobody will ever receive: give up */
    fi;
#ifdef LARGE
    dropping();
#endif
    goto leave;
#endif

    undoing();
m1_over:
    atomic { assert(m_back == 1); m_back = 0; goto S1 }
#ifdef TAKE
    finishing();
    F_OVER_IN_S
#endif
#ifdef SLEEP
    waking();
k_over:
    atomic {
        if
        :: k_back == 1 -> k_back = 0; goto S6_back
#ifdef RENDEZVOUS
        :: k_back == 2 -> k_back = 0; goto send_withdrawn
#endif
#ifdef TAKE
        :: k_back == 4 -> k_back = 0; goto f_end
#endif
        fi
    }
#endif

finish:
#ifdef LEAVES
    closing();
#endif
leave: /* at the end of its work, or of its life */
    atomic { if :: _pid <= SENDERS -> senders_left-- :: else fi; left-- }
}

/* ---- a receiver ---- */

proctype Receiver(byte me)
{
    bool last;
    byte rounds;
    LOCALS
    LOCALS_RECEIVE

receive_next:
#ifdef TRIMS
    if :: atomic { trims < TRIMS -> trims++ }; trimming() :: true fi;
trimmed:
#endif
    atomic {
        senders_left == 0 || PHASE(slot[0]) != FREE || PHASE(slot[SLOTS - 1]) != FREE || EXISTS_RETURNED;
#ifdef SLEEP
        armed = false; seen = 0;
#endif
        last = senders_left == 0
    }
receive_first:
    skip;
#if DEATHS > 0
look_around:
    if
    :: atomic { FIND_DEAD -> if :: x == 0 -> skip :: else -> goto sweep_begin fi }
    :: true
    fi;
#endif
    receiving();

got:
progress_received:
    skip;
#ifdef TAKE
    using();
used:
#else
    m = 0;
#endif
#ifdef UNBOUNDED /* a look at least, which moves the head: a sender may wait for memory */
    atomic { last = senders_left == 0; goto receive_first }
#else
    goto receive_next;
#endif

nothing:
    atomic { h = 0; w = 0; p = 0 }
#ifdef TAKE
    releasing();
#endif
#ifdef UNBOUNDED
    if :: head >= (release + 1) * BLOCK && releaser == NOBODY -> u_back = 3; goto U4 :: else fi;
tidied:
#endif
#ifdef SLEEP
    sleeping(OF_RECEIVERS, senders_left == 0 && !EXISTS_READY && !EXISTS_TAKEN && !EXISTS_RETURNED);
again:
#if DEATHS > 0
    goto look_around;
#else
    goto receive_begin;
#endif
#else
    if
    :: last ->
        assert(RECEIVERS > 1 || NEWCOMERS > 0 || !EXISTS_READY); /* no message is out of a receiver's sight */
        goto finish
    :: else
    fi;
    if
    KILLED STOPPED
    :: atomic { senders_left == 0 || EXISTS_READY || EXISTS_TAKEN || EXISTS_RETURNED -> goto receive_next }
    fi;
#endif

    undoing();
m1_over:
    atomic { if M1_OVER_IN_R fi }
#ifdef TAKE
    finishing();
f_over:
    atomic { if F_OVER_IN_R fi }
#endif
#ifdef UNBOUNDED
    returning_memory();
u4_over:
    atomic { if U4_OVER_IN_R fi }
#endif
#if DEATHS > 0
    sweeping();
swept:
    goto receive_next;
#else
W1: W3_back: W4: assert(false); /* no deaths, no sweeps */
#endif
#ifdef SLEEP
    waking();
k_over:
    atomic {
        if
#ifdef TAKE
        :: k_back == 4 -> k_back = 0; goto f_end
        :: k_back == 5 -> k_back = 0; goto used
#if DEATHS > 0
        :: k_back == 6 -> k_back = 0; goto sweep_woke
#endif
#else
        :: k_back == 3 -> k_back = 0; goto got
#endif
        fi
    }
#endif

finish:
#ifdef LEAVES
    closing();
#endif
leave: /* at the end of its work, or of its life */
    atomic { receivers_left--; left-- }
}

/* ---- the survivor ---- */

/* Nothing is lost, doubled or leaked; what the stopped hold in their hands is theirs. */
inline judging()
{
    i = 1;
    do
    :: i > KINDS -> break
    :: else ->
        assert(!(withdrawn[i] && (done[i] || delivered[i])));
        not_lost = done[i] || !sent[i];
#ifdef TAKE
        c = 1;
        do
        :: c > CELLS -> break
        :: else ->
            not_lost = not_lost || (cell_body[c] == i && PHASE(cell[c]) == HELD && stopped[OWNER(cell[c])]);
            c++
        od;
        c = 0;
#endif
        assert(not_lost);
        i++
    od;
    i = 0;
    do
    :: i == SLOTS -> break
    :: else ->
        assert(PHASE(slot[i]) == FREE || (PHASE(slot[i]) == CLAIMED && stopped[OWNER(slot[i])]) || BELOW_FLOOR(i));
        i++
    od;
#ifdef UNBOUNDED
    assert(stops > 0 || (releaser == NOBODY && head < (release + 1) * BLOCK)); /* all that can go back has */
#endif
#ifdef TAKE
    i = 1;
    do
    :: i > CELLS -> break
    :: else -> assert(PHASE(cell[i]) == EMPTY || stopped[OWNER(cell[i])]); i++
    od;
#endif
#ifdef LARGE
    i = 1; j = 0;
    do
    :: i > CHUNKS -> break
    :: else -> if :: PHASE(chunk[i]) != FREE -> j++ :: else fi; i++
    od;
    assert(j <= stops);
#endif
    i = 1;
    do
    :: i > SENDERS + RECEIVERS -> break
    :: else -> assert(!dead[i] || !member[i] || !ADMITTING(i)); i++
    od;
    i = 0
}

proctype Survivor()
{
    byte me = SURVIVOR, rounds, stage, sweep_next = 1;
    bool not_lost;
    LOCALS
    LOCALS_SEND
    LOCALS_RECEIVE

    atomic { /* nothing moves but this process: no need to look at each step */
    left == 0;
sweep_next_one:
    atomic {
        x = sweep_next;
        if
        :: sweep_next > SENDERS + RECEIVERS -> x = 0
        :: else ->
            sweep_next++;
            if :: SWEEPABLE(x) -> goto sweep_begin :: else -> x = 0; goto sweep_next_one fi
        fi
    }
    receiving();
got:
#ifdef TAKE
    using();
used:
#else
    m = 0;
#endif
    goto receive_begin;
nothing:
#ifdef TAKE
    releasing();
#endif
#ifdef UNBOUNDED
    if :: head >= (release + 1) * BLOCK && releaser == NOBODY -> u_back = 3; goto U4 :: else fi;
tidied:
#endif
    if
    :: stage == 1 -> goto judge
    :: else -> stage = 1
    fi;
    m = KINDS;
#ifdef LARGE
    lending();
loan_none:
    assert(stops >= CHUNKS); /* leaked? */
    goto judge;
loan_done:
#endif
    sending();
send_done:
    m = 0;
#ifdef LARGE
    k = 0; s = 0;
#endif
    goto receive_begin;
send_withdrawn:
#ifdef LARGE
    dropping();
#endif
    goto judge;
send_full:
#ifdef UNBOUNDED
    assert(stops > 0); /* who is stopped keeps memory from going back: a whole lap later there is none */
#else
    assert(stops >= SLOTS); /* a place for each of the stopped, and no more */
#endif
#ifdef LARGE
    dropping();
#endif
    goto judge;

    undoing();
m1_over:
    atomic { if M1_OVER_IN_R :: m_back == 1 -> m_back = 0; goto S1 fi }
#ifdef TAKE
    finishing();
f_over:
    atomic { if F_OVER_IN_R :: f_back == 1 -> f_back = 0; goto S1 fi }
#endif
#ifdef UNBOUNDED
    returning_memory();
u4_over:
    atomic { if U4_OVER_IN_R fi }
#endif
    sweeping();
swept:
    goto sweep_next_one;
#ifdef SLEEP
    waking();
k_over:
    atomic {
        if
        :: k_back == 1 -> k_back = 0; goto S6_back
#ifdef RENDEZVOUS
        :: k_back == 2 -> k_back = 0; goto send_withdrawn
#endif
#ifdef TAKE
        :: k_back == 4 -> k_back = 0; goto f_end
        :: k_back == 5 -> k_back = 0; goto used
        :: k_back == 6 -> k_back = 0; goto sweep_woke
#else
        :: k_back == 3 -> k_back = 0; goto got
#endif
        fi
    }
#endif
judge:
    judging()
    }
leave:
    skip
}

init {
    byte n = 1;

    atomic {
#ifdef UNBOUNDED
        memory[0] = true;
#if HEAD_START > 0
        n = 0;
        do
        :: n == HEAD_START * BLOCK -> break
        :: else -> slot[n] = WORD(FREE, 0, 0, 1); n++
        od;
        head = n; tail = n;
        n = 1;
        do
        :: n > HEAD_START || n == BLOCKS -> break
        :: else -> memory[n] = true; n++
        od;
        reserved = n * BLOCK; n = 1;
#endif
#endif
        do
        :: n > SENDERS + RECEIVERS -> break
        :: else ->
            member[n] = true;
            if :: n <= SENDERS -> run Sender(n, false) :: else -> run Receiver(n) fi;
            n++
        od;
        n = 1;
        do
        :: n > NEWCOMERS -> break
        :: else -> run Sender(0, true); n++
        od;
        run Survivor()
    }
}
