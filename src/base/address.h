/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses: KIND:NAME, or KIND:/NAME for what is machine-wide; KIND:PATH for what is a file anywhere, or a
 * host and port.
 */
#ifndef GNLI_BASE_ADDRESS_H
#define GNLI_BASE_ADDRESS_H

#include <stdbool.h>

#include <ginnel/port.h>

struct gnli_address {
    char kind[16];               /* "mailbox" */
    char name[GNL_NAME_MAX + 1]; /* "jobs" */
    bool machine_wide;
    char path[GNL_ADDRESS_MAX +
              1]; /* "/tmp/log" of fifo:/tmp/log, which has no name; "host:80" of tcp:host:80 */
};

/* 0, or -EINVAL with a sentence that says what is wrong with the text. */
int gnli_address_parse(struct gnli_address *address, const char *text);

/* Writes KIND:[/]NAME or KIND:PATH; `text` has room for GNL_ADDRESS_MAX + 1. */
void gnli_address_format(const struct gnli_address *address, char *text);

/* The two of tcp:HOST:PORT or tls:HOST:PORT, without brackets; each has room for GNL_ADDRESS_MAX + 1. */
void gnli_address_split(const struct gnli_address *address, char *host, char *port);

/* Is this a name: 1 to GNL_NAME_MAX of A-Z a-z 0-9 . _ - with no leading dot? */
bool gnli_name_valid(const char *name);

#endif
