/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime directories, where names live as files called KIND:NAME. This user's own is
 * $GINNEL_DIR or /dev/shm/ginnel-UID: made when first needed, mode 0700, refused if it is not this
 * user's or is reached through a symbolic link. The machine-wide one is /dev/shm/ginnel: root's and
 * sticky; root makes it when it first needs it. Either appears with its mode or not at all; who is killed
 * while it makes one leaves at most an empty directory `.ginnel-…` beside it, which nobody looks at.
 */
#ifndef GNLI_BASE_DIRECTORY_H
#define GNLI_BASE_DIRECTORY_H

#include <stdbool.h>

/* For the end of sentences about a directory that is of no use: what to do. */
#define GNLI_DIRECTORY_ELSEWHERE "GINNEL_DIR chooses another: one of yours, best on a tmpfs such as /dev/shm"

/* A descriptor of the directory (the caller closes it), or a negative code with a sentence. */
int gnli_directory_open(bool machine_wide, bool create);

#endif
