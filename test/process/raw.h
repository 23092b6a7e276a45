/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer of a direct link that does as it likes: what a caller sends (docs/formats/direct.md), made by hand,
 * with every part of it in the test's reach.
 */
#ifndef TEST_PROCESS_RAW_H
#define TEST_PROCESS_RAW_H

#include "link/meet.h"
#include "link/side.h"
#include "ring/frames.h"

#define RAW_BYTES ((uint64_t)1 << 20)
#define RAW_BLOCK GNLI_SIDE_FIRST
#define RAW_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

struct raw {
    int socket;
    int descriptors[3]; /* memory, bell, token: what goes with the hello */
    int bell, token;    /* the ends that it keeps */
    unsigned count;     /* how many go */
    struct gnli_side *side;
    struct gnli_hello hello;
};

/* Memory of that many bytes, mapped, with a good header, then sealed. */
int raw_memory(uint64_t size, int seals, struct gnli_side **side);

/* All that a good caller of that name has, not yet sent. */
struct raw raw_new(const char *name, int64_t capacity);

/* Connects to the identity of that name: a socket. */
int raw_connect(const char *name);

/* Sends bytes with descriptors: what sendmsg says, or -errno. */
long raw_send(int socket, const void *data, size_t size, const int *descriptors, unsigned count);

/* Connects, and sends the hello as it is. */
void raw_call(struct raw *raw, const char *name);

/* The word of the frame at that offset. */
void raw_word(struct raw *raw, uint64_t offset, uint64_t word);

#endif
