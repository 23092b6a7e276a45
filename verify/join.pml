/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coming and going: W5 of docs/protocol.md as src/mailbox/attach.c and life/participant.c have it, for who
 * joins and who leaves by itself. Included by mailbox.pml. A number is free when its record says so; the
 * admission lock is held while that changes.
 */

/* A step of one who has no number yet. */
#if DEATHS > 0
#define KILLED_OUTSIDE :: atomic { deaths < DEATHS -> deaths++; gone[_pid] = true; waiting--; goto leave }
#else
#define KILLED_OUTSIDE
#endif
#if STOPS > 0
#define STOPPED_OUTSIDE :: atomic { stops < STOPS -> stops++; waiting--; goto leave }
#else
#define STOPPED_OUTSIDE
#endif
#define STEP_OUTSIDE if KILLED_OUTSIDE STOPPED_OUTSIDE :: atomic { skip;

/* Some number of those who are killed or leave: the first sender's, the first receiver's. */
#define FREE_NUMBER(number) (!member[number] && ADMITTED(number))

/* A newcomer waits for a number; goes on at joined, under the number `me`, or at leave. */
inline joining()
{
    skip;
join:
    atomic {
        if
        :: FREE_NUMBER(1) -> i = 1
        :: FREE_NUMBER(SENDERS + 1) -> i = SENDERS + 1
        :: left == waiting -> waiting--; goto leave /* nobody will go any more */
        fi
    }
    STEP_OUTSIDE
        if :: ADMITTED(i) -> ADMIT(i) :: else -> i = 0; goto join fi
    END;
    STEP_OUTSIDE /* the record, and then the byte that the kernel knows it by */
        if
        :: member[i] || !dead[i] -> ADMIT_END(i); i = 0; goto join
        :: else -> me = i; i = 0; dead[me] = false; waiting--
        fi
    END;
    STEP
        names_nothing(me);
        member[me] = true
    END;
    STEP
        ADMIT_END(me)
    END;
    goto joined
}

/* Leaves in order. If somebody else has the lock, it is as if it had been killed: the next sweep does it. */
inline closing()
{
    STEP
        if :: ADMITTED(me) -> ADMIT(me) :: else -> dead[me] = true; goto leave fi
    END;
W5_own: STEP
        names_nothing(me);
        member[me] = false
    END;
    STEP
        dead[me] = true; ADMIT_END(me)
    END
}
