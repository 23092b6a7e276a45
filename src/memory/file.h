/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that processes share, mapped: named ones of a runtime directory, and memfds.
 *
 * The kernel drops all record locks that a process has on a file (life/participant.h: the proof that
 * it lives) when it closes any descriptor of it. So every open, a mere probe too, goes through the
 * table here, which looks at a name with O_PATH first (closing such a descriptor leaves locks alone),
 * and has at most two entries of a file in use: one to read and write, and one to read alone. A
 * descriptor that nobody uses any more stays open as long as the file's other entry is used.
 *
 *   A: relaxed: notes that somebody looks at later; the one of all files is made before a file's own.
 */
#ifndef GNLI_MEMORY_FILE_H
#define GNLI_MEMORY_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gnli_file {
    int descriptor;
    bool writable;
    bool spare; /* one more descriptor of a file: nobody's, only kept open */
    dev_t device;
    ino_t inode;
    uint64_t size;       /* as of opening; of a new file, as asked for */
    atomic_bool patched; /* a page was missing and SIGBUS put zeros there: gnli_file_patched */
    unsigned references; /* under the table's lock; 0: only kept open */
    struct gnli_file *next;
};

/*
 * The same descriptor (or failure) as another number if it is 0, 1 or 2: those would get what the
 * program prints. Consumes the one given; closes it on exec.
 */
int gnli_above_standard(int descriptor);

/* Opens a regular file of that name for reading and writing. A negative code has a sentence about `what`. */
int gnli_file_open(struct gnli_file **file, int directory, const char *name, const char *what);

/* The same for reading alone: nothing can be locked for writing, reserved or mapped writable through it. */
int gnli_file_open_to_read(struct gnli_file **file, int directory, const char *name, const char *what);

/* Makes a file of `size` zero bytes that has no name yet. */
int gnli_file_new(struct gnli_file **file, int directory, uint64_t size, mode_t mode, const char *what);

/* Gives a new file its name; -EEXIST if it is taken. Complete files only: nobody ever sees half of one. */
int gnli_file_publish(struct gnli_file *file, int directory, const char *name, const char *what);

/*
 * Makes a memfd of `size` zero bytes that can be sealed, and seals it against shrinking; `name` is what
 * /proc shows of it.
 */
int gnli_file_new_memory(struct gnli_file **file, const char *name, uint64_t size, mode_t mode,
                         const char *what);

/*
 * A descriptor that somebody handed over; consumed, on failure too. -EBADMSG unless it is a memfd that is
 * sealed against shrinking. `*spare`: the file was here already, and one more descriptor of it is kept open
 * from now on (gnli_file_drop_spares).
 */
int gnli_file_adopt(struct gnli_file **file, int descriptor, bool *spare, const char *what);

/* Closes a descriptor that was handed over and is not wanted, unless it is of a file that is in use. */
void gnli_file_discard(int descriptor);

/* Another entry of the same file, for reading alone: what may be handed to those who must not write. */
int gnli_file_reader(struct gnli_file **reader, struct gnli_file *file, const char *what);

/* One more reference, and one less. */
void gnli_file_hold(struct gnli_file *file);
void gnli_file_close(struct gnli_file *file);

/* Closes the file's descriptors that nobody uses. This process's record locks on it are gone afterwards. */
void gnli_file_drop_spares(struct gnli_file *file);

/*
 * Reserves memory for a part of the file, so that touching it can't fail: -ENOSPC if there is none.
 * What was reserved already stays as it is.
 */
int gnli_file_reserve(struct gnli_file *file, uint64_t offset, uint64_t size);

/*
 * Makes it `size` bytes long, all of it beyond `from` with memory, unless it is longer already; it never
 * becomes shorter, whoever else is at it. -ENOSPC, -EFBIG: what was there stays as it is.
 */
int gnli_file_extend(struct gnli_file *file, uint64_t from, uint64_t size, const char *what);

/* Gives the memory of a part back to the system: it reads as zeros afterwards. */
void gnli_file_punch(struct gnli_file *file, uint64_t offset, uint64_t size);

/* Is the descriptor still of this file? -EBADF if the program closed it under us. */
int gnli_file_check(const struct gnli_file *file);

/* Has the file lost its last name? */
bool gnli_file_nameless(const struct gnli_file *file);

/* Bytes of memory that the file occupies. */
uint64_t gnli_file_bytes(const struct gnli_file *file);

/* The time, of a thread's own, that honest work on all of that memory may take: for budgets. */
int64_t gnli_file_walk_ns(const struct gnli_file *file);

/*
 * Maps a part of the file, readable and writable and shared; NULL when out of address space. A page
 * that turns out to be missing (somebody truncated the file) becomes a page of zeros, private to
 * this process, and `patched` is set, unless gnl_set_sigbus turned that off.
 */
void *gnli_map(struct gnli_file *file, uint64_t offset, size_t size);
void gnli_unmap(void *address, size_t size);

/*
 * The same for users' data: `size` bytes from a page on, with a page on either side that nothing may touch;
 * writable or not. Made and ended by these two alone.
 */
void *gnli_map_guarded(struct gnli_file *file, uint64_t offset, size_t size, bool writable);
void gnli_unmap_guarded(void *address, size_t size);

/*
 * A longer one instead, which holds for sealed files too, where nothing new may be mapped writable: the old
 * is gone. NULL: the old one stays.
 */
void *gnli_remap_guarded(struct gnli_file *file, void *address, size_t size, size_t longer);

/*
 * Another mapping of the same file in the place of one: through the file's entry for reading it is one that
 * cannot be made writable. False: nothing was changed.
 */
bool gnli_map_instead(struct gnli_file *file, void *address, bool writable);

/* A part of the file to look at. */
void *gnli_map_to_read(struct gnli_file *file, uint64_t offset, size_t size);

/* Is there memory at that page of the file? When in doubt, yes. */
bool gnli_file_data(const struct gnli_file *file, uint64_t offset);

/* Prepares the pages for use without a fault each, where the kernel can do it. */
void gnli_populate(void *address, size_t size);

/*
 * The same for memory that nobody uses yet and that shall have been written (SEEK_HOLE asks for that),
 * whatever the kernel: before Linux 5.14, and under qemu, nothing but a store writes a page.
 */
void gnli_write_pages(void *address, size_t size);

/*
 * Was a page missing, so that what was read or written since may be nothing? Asked with every message: of the
 * one line that says whether that ever happened, before the file's own.
 */
extern atomic_bool gnli_pages_patched;

static inline bool gnli_file_patched(const struct gnli_file *file)
{
    return __builtin_expect(atomic_load_explicit(&gnli_pages_patched, memory_order_relaxed), 0) && /* A */
           atomic_load_explicit(&file->patched, memory_order_relaxed);                             /* A */
}

/*
 * After gnli_file_patched: if the file has its size the missing pages were only returned memory, touched
 * late; they are mapped again and 0 is returned. Else the file was truncated: -EBADMSG, for good.
 */
int gnli_file_repair(struct gnli_file *file);

/* For the fork handlers: hold the tables still. */
void gnli_files_lock(void);
void gnli_files_unlock(void);
void gnli_mappings_lock(void);
void gnli_mappings_unlock(void);

#endif
