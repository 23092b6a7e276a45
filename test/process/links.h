/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of direct links share: identities, numbered messages by name, calls in threads of their own.
 * All of it may be called in children: what fails ends the process with a sentence (require).
 */
#ifndef TEST_PROCESS_LINKS_H
#define TEST_PROCESS_LINKS_H

#include <pthread.h>
#include <stdatomic.h>

#include "helpers.h"

gnl_identity *claim(const char *name);
void release(gnl_identity *me);
/* The name of one that died is free at once, and what it left of it goes. */
void bury(const char *name);

/* Message `number`, of `size` bytes (at least 8) with a pattern; SOON enough. */
void tell(gnl_identity *me, const char *name, uint64_t number, size_t size);
/* The next message from that name (NULL: anybody): its number. */
uint64_t hear(gnl_identity *me, const char *name);
uint64_t hear_who(gnl_identity *me, const char *name, struct gnl_sender *sender);
/* What receiving gives if it is an error; 0: a message came. */
int hear_error(gnl_identity *me, const char *name, int64_t timeout);

/* Descriptors of links' memory that this process has, and mappings of it. */
unsigned count_memories(void);
long memories_kib(void); /* what they take */
unsigned count_memory_mappings(void);
unsigned count_descriptors(void);

/* A call in a thread of its own. */
enum verb { SEND_TO, RECV_FROM, MEET, PORT_RECV, PORT_SEND, PORT_TAKE };

struct blocked {
    enum verb verb;
    gnl_identity *me;
    const char *name; /* of whom; NULL anybody */
    gnl_port *port;
    int64_t timeout;
    pthread_t thread;
    atomic_int thread_id;
    ssize_t result;
};

void call_in_thread(struct blocked *call); /* returns once it sleeps */
ssize_t call_result(struct blocked *call);

/* In a child. */
_Noreturn void wait_to_be_killed(void);

/* Processes that go on together: all come here before any goes on. In shared memory, zero at first. */
struct meeting {
    atomic_uint came;
};
void meet(struct meeting *meeting, unsigned processes, unsigned round);

/* A pseudo-random number below `below`; `state` is any number at first. */
unsigned dice(uint64_t *state, unsigned below);

/* A test and its child, in step; and what the child is to have of it. */
struct step {
    struct gate first, second, third;
    int64_t capacity;
    gnl_identity *parents;
    gnl_port *port;
    gnl_message *held;
};

struct step step_open(void);
void step_close(struct step *step);

#endif
