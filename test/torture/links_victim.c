/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the victim does: up to the mark, and between the marks.
 */
#include <errno.h>
#include <string.h>

#include "findings.h"
#include "links.h"

gnl_identity *me;

static gnl_port *port;
static gnl_message message;
static char data[LARGE];

static int tell(const char *name, size_t size, int64_t timeout)
{
    uint64_t number = atomic_fetch_add(&stage->trying, 1);

    memcpy(data, &number, sizeof number);
    memset(data + sizeof number, (int)(number + 1), size - sizeof number);
    int result = gnl_send_to(me, name, data, size, timeout);
    atomic_store(result == 0 ? &stage->told : &stage->refused, number + 1);
    return result;
}

static void link_up(void)
{
    if ((!me && gnl_identity_claim(&me, "victim") != 0) || tell("survivor", SMALL, PATIENCE_NS) != 0)
        found(WRONG, "the victim could not make its link: %s", gnl_error_detail());
    sem_post(&stage->there);
    while (sem_wait(&stage->filled) != 0)
        ;
    if (gnl_link(me, "survivor", &port, PATIENCE_NS) != 0)
        found(WRONG, "the victim has no port: %s", gnl_error_detail());
}

static void ready_nothing(void) {}

static void ready_claimed(void)
{
    gnl_identity_claim(&me, "victim");
}

static void ready_linked(void)
{
    link_up();
}

static void ready_received(void)
{
    link_up();
    if (gnl_recv(port, data, sizeof data, PATIENCE_NS) < 0)
        found(WRONG, "the victim could not receive beforehand: %s", gnl_error_detail());
}

static void ready_taken(void)
{
    ready_received();
    if (gnl_take(port, &message, PATIENCE_NS) != 0)
        found(WRONG, "the victim could not take beforehand: %s", gnl_error_detail());
}

/* What the first gnl_take makes is there. */
static void ready_to_take(void)
{
    ready_taken();
    if (gnl_done(&message) != 0)
        found(WRONG, "the victim could not end beforehand: %s", gnl_error_detail());
}

static void lend(size_t size)
{
    link_up();
    if (gnl_loan(port, &message, size, PATIENCE_NS) != 0)
        found(WRONG, "the victim could not borrow beforehand: %s", gnl_error_detail());
    uint64_t number = atomic_fetch_add(&stage->trying, 1);
    memcpy(message.data, &number, sizeof number);
    memset((char *)message.data + sizeof number, (int)(number + 1), size - sizeof number);
}

static void ready_lent_small(void)
{
    lend(SMALL);
}

static void ready_lent_large(void)
{
    lend(LARGE);
}

static void ready_offering(void)
{
    ready_claimed();
    gnl_identity_capacity(me, GNL_RENDEZVOUS);
    link_up();
}

static int run_claim(void)
{
    return gnl_identity_claim(&me, "victim");
}

static int run_send_small(void)
{
    return tell("survivor", SMALL, PATIENCE_NS);
}

static int run_send_large(void)
{
    return tell("survivor", LARGE, PATIENCE_NS);
}

static int run_offer(void)
{
    return tell("mate", SMALL, PATIENCE_NS);
}

static int run_offer_large(void)
{
    return tell("mate", LARGE, PATIENCE_NS);
}

static int run_offer_briefly(void)
{
    return tell("survivor", SMALL, gnl_us(200));
}

static int run_recv(void)
{
    ssize_t result = gnl_recv(port, data, sizeof data, PATIENCE_NS);

    return result < 0 ? (int)result : 0;
}

static int run_recv_from_mate(void)
{
    ssize_t result = gnl_recv_from(me, "mate", data, sizeof data, NULL, PATIENCE_NS);

    if (result >= 0)
        atomic_store(&stage->heard, 1);
    return result < 0 ? (int)result : 0;
}

static int run_take(void)
{
    return gnl_take(port, &message, PATIENCE_NS);
}

static int run_done(void)
{
    return gnl_done(&message);
}

static int run_post(void)
{
    int result = gnl_post(port, &message, PATIENCE_NS);

    if (result == 0)
        atomic_store(&stage->told, atomic_load(&stage->trying));
    return result;
}

static int run_release(void)
{
    return gnl_identity_release(me);
}

static int run_close(void)
{
    return gnl_close(port);
}

static int run_finish(void)
{
    return gnl_finish(port);
}

const struct operation links_operations[] = {
    { .name = "claim",
      .what = "gnl_identity_claim",
      .ready = ready_nothing,
      .run = run_claim,
      .bare = true,
      .takes_name = true },
    { .name = "connect",
      .what = "the first gnl_send_to",
      .ready = ready_claimed,
      .run = run_send_small,
      .bare = true },
    { .name = "connect-large",
      .what = "the first gnl_send_to, of 9000 bytes",
      .ready = ready_claimed,
      .run = run_send_large,
      .bare = true },
    { .name = "send-small", .what = "gnl_send_to of 64 bytes", .ready = ready_linked, .run = run_send_small },
    { .name = "send-large",
      .what = "gnl_send_to of 9000 bytes",
      .ready = ready_linked,
      .run = run_send_large },
    { .name = "post-small", .what = "gnl_post of 64 bytes", .ready = ready_lent_small, .run = run_post },
    { .name = "post-large", .what = "gnl_post of 9000 bytes", .ready = ready_lent_large, .run = run_post },
    { .name = "accept",
      .what = "the first gnl_recv, that accepts the other half",
      .ready = ready_linked,
      .run = run_recv,
      .waiting = SMALL },
    { .name = "recv-small",
      .what = "gnl_recv of 64 bytes",
      .ready = ready_received,
      .run = run_recv,
      .waiting = SMALL },
    { .name = "recv-large",
      .what = "gnl_recv of 9000 bytes",
      .ready = ready_received,
      .run = run_recv,
      .waiting = LARGE },
    { .name = "take-small",
      .what = "gnl_take of 64 bytes",
      .ready = ready_to_take,
      .run = run_take,
      .waiting = SMALL },
    { .name = "done-small",
      .what = "gnl_done of 64 bytes",
      .ready = ready_taken,
      .run = run_done,
      .waiting = SMALL },
    { .name = "take-large",
      .what = "gnl_take of 9000 bytes",
      .ready = ready_to_take,
      .run = run_take,
      .waiting = LARGE },
    { .name = "done-large",
      .what = "gnl_done of 9000 bytes",
      .ready = ready_taken,
      .run = run_done,
      .waiting = LARGE },
    { .name = "offer",
      .what = "rendezvous: gnl_send_to one that sleeps in receiving",
      .ready = ready_offering,
      .run = run_offer,
      .mate = MATE_RECEIVES },
    { .name = "offer-large",
      .what = "rendezvous: gnl_send_to of 9000 bytes",
      .ready = ready_offering,
      .run = run_offer_large,
      .mate = MATE_RECEIVES },
    { .name = "offer-withdrawn",
      .what = "rendezvous: gnl_send_to that times out",
      .ready = ready_offering,
      .run = run_offer_briefly,
      .result = -ETIMEDOUT },
    { .name = "recv-offer",
      .what = "rendezvous: gnl_recv_from one that sleeps in sending",
      .ready = ready_linked,
      .run = run_recv_from_mate,
      .mate = MATE_SENDS },
    { .name = "finish", .what = "gnl_finish", .ready = ready_linked, .run = run_finish },
    { .name = "close",
      .what = "gnl_close of the link",
      .ready = ready_taken,
      .run = run_close,
      .ends = true,
      .waiting = LARGE },
    { .name = "release",
      .what = "gnl_identity_release",
      .ready = ready_taken,
      .run = run_release,
      .ends = true,
      .takes_name = true,
      .waiting = LARGE },
};
const size_t links_operations_count = sizeof links_operations / sizeof links_operations[0];
