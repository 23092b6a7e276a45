/* SPDX-License-Identifier: Apache-2.0 */
#include "interrupt.h"

#include <stddef.h>

static volatile sig_atomic_t caught;

void interrupt_signals(sigset_t *signals)
{
    struct sigaction hang_up;

    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN)
        sigaddset(signals, SIGHUP);
}

static void note(int signo)
{
    caught = signo;
}

void interrupt_catch(void)
{
    struct sigaction action = { .sa_handler = note, .sa_flags = SA_RESETHAND };
    sigset_t signals;

    interrupt_signals(&signals);
    for (int signo = 1; signo < NSIG; signo++)
        if (sigismember(&signals, signo) == 1)
            sigaction(signo, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int interrupt_caught(void)
{
    return caught;
}

enum exit_status interrupt_die(int signo)
{
    sigset_t only;

    signal(signo, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, signo);
    raise(signo);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    return EXIT_FAILED;
}
