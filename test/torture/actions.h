/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processes of an operation do, each step a function that a row of the table (operations.c) names:
 * whose it is and when it is called stands in operations.h. Each acts for the process that it runs in, `me`
 * (scene.h).
 */
#ifndef TORTURE_ACTIONS_H
#define TORTURE_ACTIONS_H

/* ---- the survivor's preparations ---- */

void set_small(void);
void set_large(void);
void set_two(void);
void set_three(void);
void set_full(void);
void set_huge(void);
void set_block(void);
void set_three_gone(void);
void set_blocks_full(void);
void set_many_huge(void);
void set_block_and_receive(void);
void again_three(void);
void again_three_less_two(void);
void again_one_at_rest(void);
void again_adopt(void);
void again_hold_blocks(void);
void again_hold_huge(void);

/* ---- opening and closing ---- */

void ready_nothing(void);
void run_create(void);
void run_join(void);
void run_close(void);
void run_remove(void);
void ready_open(void);
void ready_close(void);

/* ---- sending ---- */

void ready_send_small(void);
void ready_send_large(void);
void ready_send_huge(void);
void run_send_small(void);
void run_send_large(void);
void run_send_huge(void);
void run_offer_small(void);
void run_offer_large(void);
void run_offer_briefly(void);
void after_send(void);
void ready_send_many(void);
void run_send_many(void);
void after_send_many(void);
void run_loan_large(void);
void run_loan_huge(void);
void run_drop(void);
void ready_drop_large(void);
void ready_drop_huge(void);
void ready_post(void);
void run_post(void);

/* ---- receiving ---- */

void ready_recv(void);
void run_recv(void);
void after_recv(void);
void after_adopting_recv(void);
void run_take(void);
void after_take(void);
void ready_take(void);
void ready_done(void);
void run_done(void);
void run_giveback(void);
void after_done(void);
void ready_done_last(void);

/* ---- remains ---- */

void leave_ready_send(void);
void leave_run_send(void);
void leave_ready_all(void);
void leave_ready_two(void);
void leave_ready_huge(void);
void leave_run_nothing(void);
void leave_after_send(void);
void leave_after_take(void);

#endif
