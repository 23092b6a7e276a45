/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of link: a row each. The tables are in the rooms above; naming them here is the one
 * place where an arrow points up.
 */
#ifndef GNLI_PORT_KINDS_H
#define GNLI_PORT_KINDS_H

#include "port/port.h"

#define GNLI_KINDS(row)                                                                   \
    row(gnli_mailbox_kind) row(gnli_link_kind) row(gnli_segment_kind) row(gnli_pipe_kind) \
        row(gnli_fifo_kind) row(gnli_unix_kind) row(gnli_tcp_kind) row(gnli_tls_kind)

#define GNLI_DECLARE(kind) extern const struct gnli_kind kind;
GNLI_KINDS(GNLI_DECLARE)
#undef GNLI_DECLARE

#endif
