/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what is to be executed can be, before anything is. */
#ifndef GNLI_PIPELINE_COMMAND_H
#define GNLI_PIPELINE_COMMAND_H

/*
 * Looks for it along PATH, or in the directory where it has a slash, as exec will: 0, or what exec would fail
 * with, and a sentence that begins with `where`.
 */
int gnli_command_find(const char *name, const char *path, int directory, const char *where);

#endif
