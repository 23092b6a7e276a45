/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "wait/futex.h"

#define SHORT 30000    /* ns: a sleep that was over soon */
#define LONG  20000000 /* and one that was not */

static struct gnli_spin spin;

static void begin(void)
{
    spin = (struct gnli_spin){ .budget_ns = 0 };
    gnli_spin_init(&spin);
    if (gnli_spin_budget_ns(&spin) == 0) /* a machine of one core: nobody spins at all */
        atomic_store(&spin.budget_ns, GNLI_SPIN_MAX_NS);
}

START_TEST(who_was_woken_from_its_own_core_does_not_spin_until_woken_from_another)
{
    begin();
    for (int i = 0; i < 100; i++) {
        gnli_spin_waited(&spin, SHORT, true);
        ck_assert_int_eq(gnli_spin_budget_ns(&spin), 0);
    }
    gnli_spin_waited(&spin, SHORT, false);
    ck_assert_int_eq(gnli_spin_budget_ns(&spin), GNLI_SPIN_MAX_NS);
}
END_TEST

START_TEST(spinning_that_is_enough_goes_on)
{
    begin();
    for (int i = 0; i < 100; i++) {
        gnli_spin_waited(&spin, 0, false);
        ck_assert_int_eq(gnli_spin_budget_ns(&spin), GNLI_SPIN_MAX_NS);
    }
}
END_TEST

START_TEST(long_sleeps_shorten_spinning_and_a_short_one_ends_that)
{
    begin();
    for (int i = 0; i < 20; i++)
        gnli_spin_waited(&spin, LONG, false);
    ck_assert_int_gt(gnli_spin_budget_ns(&spin), 0);
    ck_assert_int_le(gnli_spin_budget_ns(&spin), 2000);
    gnli_spin_waited(&spin, SHORT, false);
    ck_assert_int_eq(gnli_spin_budget_ns(&spin), GNLI_SPIN_MAX_NS);
}
END_TEST

START_TEST(where_nobody_spins_nothing_changes_that)
{
    struct gnli_spin none = { .budget_ns = 0 };

    gnli_spin_waited(&none, SHORT, false);
    gnli_spin_waited(&none, LONG, true);
    ck_assert_int_eq(gnli_spin_budget_ns(&none), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spin");
    TCase *waits = support_case(suite, "waits");

    tcase_add_test(waits, who_was_woken_from_its_own_core_does_not_spin_until_woken_from_another);
    tcase_add_test(waits, spinning_that_is_enough_goes_on);
    tcase_add_test(waits, long_sleeps_shorten_spinning_and_a_short_one_ends_that);
    tcase_add_test(waits, where_nobody_spins_nothing_changes_that);
    return support_run(suite);
}
