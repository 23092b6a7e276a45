/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking: K and L of docs/protocol.md, as src/mailbox/wait.c has them. Included by
 * mailbox.pml. The look around after 100 ms is there for what deaths leave: with nobody killed or
 * stopped for ever the model does without it, so a lost wake-up is a deadlock.
 */

#ifdef SLEEP
#define ASLEEP(number) (asleep[number] && (number <= SENDERS) == (k_whom == OF_SENDERS))

/* Wakes those of `k_whom`; goes on at k_over. */
inline waking()
{
    skip;
K1: STEP
#ifdef FLAW_7
        if :: !seen_flag -> goto k_end :: else fi
#else
        if :: !flag[k_whom] -> goto k_end :: else fi
#endif
    END;
K2: STEP
        flag[k_whom] = false
    END;
    STEP
        sequence[k_whom]++
    END;
    STEP
        i = 1;
        do
        :: i > SENDERS + RECEIVERS -> break
        :: i <= SENDERS + RECEIVERS -> if :: ASLEEP(i) -> asleep[i] = false :: else fi; i++
        od;
        i = 0
    END;
k_end:
    atomic { skip; goto k_over }
}

/* After an attempt in vain. Goes on at again; at leave once that is sure to be in vain for ever. */
inline sleeping(whom, in_vain)
{
    if :: armed -> goto L4 :: else fi;
L1: STEP
        seen = sequence[whom]
    END;
L2: STEP
        flag[whom] = true; armed = true
    END;
L3: goto again;
L4: STEP
        if
        :: sequence[whom] == seen -> asleep[me] = true
        :: else -> goto L1
        fi
    END;
    if
    KILLED STOPPED
    :: atomic { !asleep[me] -> armed = false; seen = 0; goto again } /* before the flag is up again */
#ifndef FLAW_8 /* nobody looks around */
    :: atomic { asleep[me] && (deaths > 0 || stops > 0) ->
        asleep[me] = false; armed = false; seen = 0; goto again } /* 100 ms */
#endif
    :: atomic { in_vain -> asleep[me] = false; armed = false; seen = 0; goto leave }
    fi
}
#endif
