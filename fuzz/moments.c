/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/moments.h"

#define PLANNED_MAX 8

static const struct moments_target *target;
static _Thread_local bool armed;
static uint64_t loads; /* from shared memory, in this call */
static struct planned {
    uint64_t at; /* before this load */
    uint64_t offset, value;
} planned[PLANNED_MAX];
static unsigned planned_count;
static uint64_t again_every;         /* not 0: the writes are repeated before every so-many-th load */
static uint64_t fed_from, fed_until; /* loads that find what the attacker has put there just before */
static uint64_t fed[4];

void moments_arm(const struct moments_target *of, struct input *input)
{
    uint64_t plan = input_number(input, 1);

    target = of;
    loads = planned_count = 0;
    again_every = fed_from = fed_until = 0;
    if (plan < 64)
        return;
    if (plan < 224) {
        planned_count = 1 + plan % PLANNED_MAX;
        for (unsigned i = 0; i < planned_count; i++) {
            planned[i].at = 1 + target->some_number(input);
            planned[i].offset = target->some_offset(input);
            planned[i].value = target->some_value(input);
        }
        if (plan >= 192)
            again_every = 1 + input_number(input, 1) % 8;
    } else {
        fed_from = target->some_number(input);
        fed_until = plan < 240 ? fed_from + 1 + input_number(input, 1) : UINT64_MAX;
        for (unsigned i = 0; i < 4; i++)
            fed[i] = target->some_value(input);
    }
    armed = true;
}

void moments_disarm(void)
{
    armed = false;
}

__attribute__((always_inline)) static inline void load(const void *address, unsigned bytes)
{
    void *place = armed ? target->attackable(address) : NULL;

    if (!place)
        return;
    armed = false; /* what we do ourselves does not count */
    loads++;
    for (unsigned i = 0; i < planned_count; i++)
        if (planned[i].at == loads || (again_every != 0 && (loads + i) % again_every == 0))
            target->put(planned[i].offset, planned[i].value);
    if (loads >= fed_from && loads < fed_until) {
        if (bytes == 8)
            *(volatile uint64_t *)place = fed[loads % 4];
        else if (bytes == 4)
            *(volatile uint32_t *)place = (uint32_t)fed[loads % 4];
    }
    armed = true;
}

void __sanitizer_cov_load1(const uint8_t *address);
void __sanitizer_cov_load2(const uint16_t *address);
void __sanitizer_cov_load4(const uint32_t *address);
void __sanitizer_cov_load8(const uint64_t *address);
void __sanitizer_cov_load16(const void *address);

void __sanitizer_cov_load1(const uint8_t *address)
{
    load(address, 1);
}
void __sanitizer_cov_load2(const uint16_t *address)
{
    load(address, 2);
}
void __sanitizer_cov_load4(const uint32_t *address)
{
    load(address, 4);
}
void __sanitizer_cov_load8(const uint64_t *address)
{
    load(address, 8);
}
void __sanitizer_cov_load16(const void *address)
{
    load(address, 16);
}
