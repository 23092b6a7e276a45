/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model's shared memory: the words of docs/protocol.md, what is written down about each message
 * to judge the end by, and how a step may be a process's last. Included by mailbox.pml.
 */

/* ---- how large; every one can be set with -D ---- */

#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef MESSAGES        /* of each sender */
#define MESSAGES 1
#endif
#ifndef DEATHS          /* how many processes may be killed, after any step */
#define DEATHS 0
#endif
#ifndef STOPS           /* how many may be stopped for ever, after any step: alive, and never heard of again */
#define STOPS 0
#endif
#ifndef GIVES           /* how often a receiver may give back what it took */
#define GIVES 0
#endif
#ifndef REPOSTS         /* how often a withdrawn message may be sent again */
#define REPOSTS 0
#endif
#ifndef SKIPS           /* places that a receiver remembers to have skipped */
#define SKIPS 2
#endif
#ifdef LARGE
#define TAKE            /* a large message is held before it is copied out */
#endif
#if defined LARGE && !defined CHUNKS
#define CHUNKS 2
#endif
#if defined TAKE && !defined CELLS
#define CELLS 2
#endif
#ifndef NEWCOMERS       /* processes that come later, each under a number that is free by then */
#define NEWCOMERS 0
#endif
#if defined UNBOUNDED && !defined BLOCK /* slots that get and lose their memory together */
#define BLOCK 1
#endif
#ifndef HEAD_START      /* blocks that were received, and not given back, before all begins */
#define HEAD_START 0
#endif

#define SURVIVOR (SENDERS + RECEIVERS + 1) /* comes when all are gone: mends, drains and judges */
#define NOBODY   0
#define KINDS    (SENDERS * MESSAGES + NEWCOMERS + 1) /* of messages; the last is the survivor's own */

/* ---- words ---- */

/* phase 2, owner 3, cell or deliveries 2, lap or serial: never twice the same */
#define WORD(phase, owner, cell, lap) ((phase) | ((owner) << 2) | ((cell) << 5) | ((lap) << 7))
#define PHASE(word)  ((word) & 3)
#define OWNER(word)  (((word) >> 2) & 7)
#define CELL(word)   (((word) >> 5) & 3)
#define TIMES(word)  (((word) >> 5) & 3)
#define LAP(word)    ((word) >> 7)
#define SERIAL(word) ((word) >> 7)

#define FREE     0 /* a slot */
#define CLAIMED  1
#define READY    2
#define TAKEN    3

#define EMPTY    0 /* a cell */
#define PENDING  1
#define HELD     2
#define RETURNED 3

#define LOAN     1 /* a chunk; FREE and HELD as above */
#define QUEUED   3

#define AT(position)     ((position) % SLOTS)
#define LAP_OF(position) ((position) / SLOTS)
#define HINT 255 /* start where the hint says, or used to say: others move it late, and back */

short slot[SLOTS];
byte body[SLOTS];        /* the message; 0: not written yet */
byte head, tail;         /* hints */

#ifdef UNBOUNDED         /* of SLOTS slots only those of the blocks from floor to reserved have memory */
#define BLOCKS           (SLOTS / BLOCK)
#define BLOCK_OF(index)  ((index) / BLOCK)
byte floor, reserved = BLOCK;
byte release;            /* the block that is next to be given back; */
byte releaser;           /* and who does it. Both are one word: they change in one step */
bool memory[BLOCKS];     /* U1 gives it, U4 takes it away. A page that is touched without is empty, and counts as none */
#define HAS_MEMORY(index) memory[BLOCK_OF(index)]
#else
#define HAS_MEMORY(index) true
#endif

#ifdef TAKE
short cell[CELLS + 1];   /* from 1 on: 0 is none */
byte cell_body[CELLS + 1];
byte cell_slot[CELLS + 1];
byte returned;           /* bit 0: some cell may have been given back; the rest counts how often */
#endif

#ifdef LARGE
short chunk[CHUNKS + 1];
byte chunk_bytes[CHUNKS + 1];
byte body_chunk[SLOTS];
byte body_serial[SLOTS];
#ifdef TRIMS             /* how often a receiver takes the chunks' memory away: all of them are of one block */
#define BACKED_NOT 0
#define BACKED     1
#define TRIMMING(number) (8 | (number))
byte backed = BACKED, serials, trims;
#endif
byte cell_chunk[CELLS + 1];
byte cell_serial[CELLS + 1];
#endif

/* ---- participants ---- */

bool dead[8];            /* the kernel's answer */
bool stopped[8];
bool member[8];          /* the record: alive, or dead and not swept yet */
byte admits[8];          /* which process has the number's admission lock */
bool gone[10];           /* which processes were killed */
byte deaths, stops;
byte senders_left = SENDERS, receivers_left = RECEIVERS;
byte waiting = NEWCOMERS; /* those that have not joined yet */
byte left = SENDERS + RECEIVERS + NEWCOMERS;

#ifdef SLEEP
byte sequence[2];        /* of receivers, of senders */
bool flag[2];
bool asleep[8];
#define OF_RECEIVERS 0
#define OF_SENDERS   1
#endif

/* ---- the ledger ---- */

bool sent[KINDS + 1];      /* the send has happened: from here on the message may not be lost */
bool withdrawn[KINDS + 1]; /* the send has not happened: it may not be received */
bool delivered[KINDS + 1]; /* some receiver has had it, unflagged */
bool done[KINDS + 1];      /* received by copy, or taken and done with: it is gone */
byte gives, reposts;

#define MESSAGE(sender, number) (((sender) - 1) * MESSAGES + (number))
#define SENDER_OF(message)      (((message) - 1) / MESSAGES + 1)

/* ---- steps ---- */

/*
 * One step of a process: one access to shared memory, or one that cannot fail with what hangs on it.
 * Before every step the process may be killed or stopped for ever; that nobody else is heard of
 * between two steps may always happen, so stopped and continued needs no words. (The skip keeps an
 * `else` at the beginning of a step from waiting until nobody can be killed.)
 */
#ifndef MORTAL_FROM      /* the numbers of those who may be killed */
#define MORTAL_FROM 1
#endif
#ifndef MORTAL_TO
#define MORTAL_TO (SURVIVOR - 1)
#endif
#ifndef STOPPABLE_FROM   /* and stopped */
#define STOPPABLE_FROM 1
#endif
#ifndef STOPPABLE_TO
#define STOPPABLE_TO (SURVIVOR - 1)
#endif

#if DEATHS > 0
#define KILLED                                                                                    \
    :: atomic { deaths < DEATHS && me >= MORTAL_FROM && me <= MORTAL_TO -> deaths++; gone[_pid] = true; dead[me] = true; goto leave }
#else
#define KILLED
#endif
#if STOPS > 0
#define STOPPED                                                                                   \
    :: atomic { stops < STOPS && me >= STOPPABLE_FROM && me <= STOPPABLE_TO -> stops++; stopped[me] = true; goto leave }
#else
#define STOPPED
#endif

/* The admission lock of a number: the kernel drops it when its holder ends. */
#define ADMITTING(number) (admits[number] == NOBODY || gone[admits[number]])

#ifdef FLAW_24 /* without the lock: the record alone decides */
#define ADMITTED(number) true
#define ADMIT(number) skip
#else
#define ADMITTED(number) ADMITTING(number)
#define ADMIT(number) admits[number] = _pid
#endif
#define ADMIT_END(number) if :: admits[number] == _pid -> admits[number] = NOBODY :: else fi

#define STEP if KILLED STOPPED :: atomic { skip;
#define END  } fi

/* Compare-and-swap; `ok` is each process's own. */
#define CAS(at, from, to) if :: at == (from) -> at = (to); ok = true :: else -> ok = false fi

/* The survivor is alone: whatever it does ends soon. */
#define BOUNDED if :: me == SURVIVOR -> rounds++; assert(rounds < 100) :: else fi
