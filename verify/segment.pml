/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment's word (src/segment): lock, version, snapshot. WRITERS lock, change two words of data, unlock; up
 * to DEATHS of them are killed at any step; a reader copies the two words, and may only read. Memory is
 * sequentially consistent; the kernel's word on who is dead is exact.
 *
 * What must hold: at most one living process is inside; half-changed data is never had without having been
 * said to be; a copy without such a word is whole; nobody waits for ever.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif

byte owner;   /* the word: who has it locked, 0 nobody; */
bool died;    /* the mark; */
byte version; /* and this. All of it changes in one step */
byte one, other; /* the data: the same but inside */
bool dead[WRITERS + 1];
byte deaths, inside;
bool said;    /* whoever has it locked was told that it may be half-changed */

#if DEATHS > 0
#define STEP if :: atomic { deaths < DEATHS -> deaths++; inside = inside - holds; dead[me] = true; goto end } :: atomic { true ->
#else
#define STEP if :: atomic { true ->
#endif
#define END } fi

proctype writer(byte me)
{
    byte word_owner, word_version, round;
    bool word_died, left;
    byte holds;

    do
    :: round == ROUNDS -> break
    :: else ->
again:
        STEP word_owner = owner; word_version = version; word_died = died END;
#ifdef FLAW_31 /* takes it from whoever has it */
X1:     STEP left = (word_owner != 0) END;
#else
X1:     STEP left = (word_owner != 0 && dead[word_owner]) END; /* asks the kernel */
#endif
        if
        :: word_owner != 0 && !left -> word_owner = 0; word_version = 0; word_died = false;
           (owner == 0 || dead[owner]); goto again /* sleeps until it is worth looking again */
        :: else
        fi;
X2:     STEP
            if
            :: owner == word_owner && version == word_version && died == word_died ->
                owner = me;
                version = version + left;
                died = false;
#ifdef FLAW_32 /* the mark is overlooked */
                said = left;
#else
                said = left || word_died;
#endif
                holds = 1; inside++;
                assert(inside == 1);
                assert(said || one == other)
            :: else -> word_owner = 0; word_version = 0; word_died = false; left = false; goto again
            fi
        END;
        STEP one = one + 1 END;
        STEP other = one END;
X3:     STEP
            assert(owner == me);
            owner = 0; holds = 0; inside--;
#ifndef FLAW_33 /* unlocked without another version */
            version++
#endif
        END;
        word_owner = 0; word_version = 0; word_died = false; left = false; round++
    od;
end:
    skip
}

/* Who may write, waits or copies, and meets a dead owner: X4. */
proctype digger()
{
    byte word_owner, word_version;
    bool word_died;

    do
    :: atomic { owner != 0 && dead[owner] -> word_owner = owner; word_version = version; word_died = died };
X4:     atomic {
            if
            :: owner == word_owner && version == word_version && died == word_died ->
                owner = 0; version++;
#ifndef FLAW_34 /* no mark */
                died = true
#endif
            :: else
            fi;
            word_owner = 0; word_version = 0; word_died = false
        }
    :: timeout -> break
    od
}

proctype reader()
{
    byte word_owner, word_version, copy_one, copy_other;
    bool word_died, marked;

again:
    atomic { word_owner = owner; word_version = version; word_died = died; marked = died };
    if
    :: word_owner != 0 && !dead[word_owner] -> word_owner = 0; word_version = 0; word_died = false; marked = false;
       (owner == 0 || dead[owner]); goto again
    :: word_owner != 0 && dead[word_owner] -> /* X5: the word is read again */
        marked = true;
        atomic {
            if
            :: owner != 0 && owner != word_owner -> word_owner = 0; word_version = 0; word_died = false; marked = false;
               goto again
            :: else -> word_owner = owner; word_version = version; word_died = died
            fi
        }
    :: else
    fi;
    copy_one = one;
    copy_other = other;
X6: atomic {
        if
#ifndef FLAW_35 /* does not look again */
        :: !(owner == word_owner && version == word_version && died == word_died) ->
            copy_one = 0; copy_other = 0; word_owner = 0; word_version = 0; word_died = false; marked = false;
            goto again
#endif
        :: else -> assert(marked || copy_one == copy_other)
        fi
    }
}

init
{
    byte i = 1;

    atomic {
        do
        :: i > WRITERS -> break
        :: else -> run writer(i); i++
        od;
        run digger();
        run reader()
    }
}
