/* SPDX-License-Identifier: Apache-2.0 */
#include "segments.h"

#include <string.h>

gnl_segment *make_segment(const char *name)
{
    gnl_segment *segment = NULL;

    require(gnl_segment_create(&segment, name, SIZE, NULL) == 0);
    return segment;
}

gnl_segment *attach_segment(unsigned rights)
{
    gnl_segment *segment = NULL;

    require(gnl_segment_attach(&segment, "s", rights) == 0);
    return segment;
}

void end_segment(gnl_segment *segment)
{
    assert_ok(gnl_segment_detach(segment));
    assert_ok(gnl_remove("segment:s"));
}

void fill_words(gnl_segment *segment, uint64_t value)
{
    volatile uint64_t *words = gnl_segment_data(segment);

    for (size_t i = 0; i < WORDS; i++)
        words[i] = value;
}

bool uniform(const uint64_t *words)
{
    for (size_t i = 1; i < WORDS; i++)
        if (words[i] != words[0])
            return false;
    return true;
}

struct gates open_gates(void)
{
    return (struct gates){ support_gate(), support_gate() };
}

void close_gates(struct gates *gates)
{
    support_gate_close(&gates->there);
    support_gate_close(&gates->go);
}

int die_inside(void *context)
{
    struct gates *gates = context;
    gnl_segment *segment = attach_segment(GNL_READ | GNL_WRITE);

    require(gnl_segment_lock(segment, PATIENCE) == 0);
    memset(gnl_segment_data(segment), 1, SIZE / 2);
    support_gate_open(&gates->there);
    support_gate_wait(&gates->go);
    require(gnl_segment_unlock(segment) == 0);
    return 0;
}

uint64_t attached(gnl_segment *segment)
{
    struct gnl_segment_info info;

    assert_ok(gnl_segment_info(segment, &info));
    return info.attached;
}
