/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   A: release in providing, acquire in asking: carries what the library has made ready.
 */
#include "socket/tls.h"

#include <errno.h>
#include <string.h>

#include "base/errors.h"

static const struct gnl_tls_engine *_Atomic provided;

void gnl_tls_provide(const struct gnl_tls_engine *engine)
{
    atomic_store_explicit(&provided, engine, memory_order_release); /* A */
}

const struct gnl_tls_engine *gnli_tls(void)
{
    return atomic_load_explicit(&provided, memory_order_acquire); /* A */
}

const struct gnl_tls_engine *gnli_tls_engine(const char *subject)
{
    const struct gnl_tls_engine *engine = gnli_tls();

    if (!engine)
        gnli_fail(-EPROTONOSUPPORT,
                  "%s: TLS is in a library of its own: link with libginnel-tls (pkg-config ginnel-tls)",
                  subject);
    return engine;
}

bool gnli_socket_is_tls(const struct gnli_address *address)
{
    return strcmp(address->kind, "tls") == 0;
}

int gnli_tls_context(struct gnli_tls_context **context, const struct gnl_options *options, bool listens,
                     const char *subject)
{
    const struct gnl_tls_engine *engine = gnli_tls_engine(subject);

    return engine ? engine->context_new(context, options->tls, listens, subject, gnli_fail)
                  : -EPROTONOSUPPORT;
}
