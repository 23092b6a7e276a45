/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address of this program, or of a library it has loaded, as "function+0x1c". For reports.
 */
#ifndef TORTURE_SYMBOL_H
#define TORTURE_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

void symbol_of(uintptr_t address, char *text, size_t size);

#endif
