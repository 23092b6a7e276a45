/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake with a side that is OpenSSL by hand: cut at every byte of it, in either direction, stopped at
 * many of them, and the server name that a client sends.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certificates.h"

#define PATIENCE  gnl_ms(PATIENCE_MS)
#define NEXT_EACH 64 /* after so many that were cut a new client is let in */

/* A side whose bytes go through memory: no more than `limit` of them leave. */
struct peer {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    int socket;
    size_t sent, limit;
    bool struck; /* there was more to send */
};

static SSL_CTX *raw_context(int version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());

    ck_assert(context && SSL_CTX_set_min_proto_version(context, version) == 1 &&
              SSL_CTX_set_max_proto_version(context, version) == 1 &&
              SSL_CTX_use_certificate_chain_file(context, tls_both_ways.certificate_file) == 1 &&
              SSL_CTX_use_PrivateKey_file(context, tls_both_ways.key_file, SSL_FILETYPE_PEM) == 1);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    return context;
}

static void peer_begin(struct peer *peer, SSL_CTX *context, int socket, size_t limit)
{
    *peer = (struct peer){ .ssl = SSL_new(context),
                           .in = BIO_new(BIO_s_mem()),
                           .out = BIO_new(BIO_s_mem()),
                           .socket = socket,
                           .limit = limit };
    require(peer->ssl && peer->in && peer->out);
    SSL_set_bio(peer->ssl, peer->in, peer->out);
}

/* Has it read what has come. False: the other side has ended. */
static bool peer_read(struct peer *peer, int flags)
{
    char data[4096];
    ssize_t got = recv(peer->socket, data, sizeof data, flags);

    if (got > 0)
        BIO_write(peer->in, data, (int)got);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static void peer_send(struct peer *peer)
{
    char data[4096];
    int size;

    while ((size = BIO_read(peer->out, data, sizeof data)) > 0) {
        size_t room = peer->limit - peer->sent, now = (size_t)size < room ? (size_t)size : room;
        peer->struck = peer->struck || now < (size_t)size;
        if (now > 0 && send(peer->socket, data, now, MSG_NOSIGNAL) > 0)
            peer->sent += now;
    }
}

/* Closed, or reset. */
static void peer_end(struct peer *peer, bool reset)
{
    struct linger at_once = { .l_onoff = 1 };

    if (reset)
        setsockopt(peer->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(peer->socket);
    SSL_free(peer->ssl);
    ERR_clear_error();
}

static uint16_t port_of(gnl_listener *listener)
{
    return (uint16_t)strtol(strrchr(gnl_listener_address(listener), ':') + 1, NULL, 10);
}

static int raw_connect(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert(made >= 0 && connect(made, (struct sockaddr *)&to, sizeof to) == 0);
    return made;
}

/* ---- clients that are cut ---- */

struct house {
    gnl_listener *listener;
    gnl_port *inside, *outside; /* one whom nothing disturbs */
    SSL_CTX *context;
    unsigned descriptors;
};

static unsigned count_descriptors(void)
{
    unsigned count = 0;

    for (int i = 0; i < 300; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

static void house_begin(struct house *house, int version, int64_t dead_after)
{
    struct gnl_tls_options tls;

    tls_make();
    tls = tls_both_ways;
    tls.allow_tls_1_2 = version == TLS1_2_VERSION;
    const struct gnl_options options = { .tls = &tls, .dead_after = dead_after };
    assert_ok(gnl_listen(&house->listener, "tls:127.0.0.1:0", &options));
    tls_meet(house->listener, &house->inside, &house->outside, &options);
    house->context = raw_context(version);
    house->descriptors = 0;
}

static void house_end(struct house *house)
{
    SSL_CTX_free(house->context);
    assert_ok(gnl_close(house->inside));
    assert_ok(gnl_close(house->outside));
    assert_ok(gnl_listener_close(house->listener));
    tls_unmake();
}

/* Nobody else is disturbed: who was there is heard, and each so often somebody new. */
static void goes_on(struct house *house, size_t number)
{
    gnl_port *inside, *outside;
    char byte;

    assert_ok(gnl_send(house->outside, "x", 1, PATIENCE));
    ck_assert_int_eq(gnl_recv(house->inside, &byte, 1, PATIENCE), 1);
    if (number % NEXT_EACH != 0)
        return;
    tls_meet(house->listener, &inside, &outside, &(struct gnl_options){ .tls = &tls_both_ways });
    assert_ok(gnl_close(outside));
    assert_ok(gnl_close(inside));
}

/* The handshake and the hello, as far as they may go. True: that port was accepted, and is closed again. */
static bool visit(struct house *house, struct peer *peer)
{
    static const char hello[16] = "GNNLSOCK";
    int64_t turns = 0;
    bool said = false;
    gnl_port *port;

    while (!peer->struck) {
        if (!said && SSL_connect(peer->ssl) == 1)
            said = SSL_write(peer->ssl, hello, sizeof hello) == sizeof hello;
        peer_send(peer);
        int result = gnl_accept(house->listener, &port, GNL_NOWAIT);
        if (result == 0) {
            assert_ok(gnl_close(port));
            return true;
        }
        ck_assert_int_eq(result, -EAGAIN);
        ck_assert_msg(peer_read(peer, MSG_DONTWAIT), "turned away after %zu bytes: %s", peer->sent,
                      gnl_error_detail());
        if (++turns > 100)
            poll(&(struct pollfd){ .fd = gnl_listener_fd(house->listener), .events = POLLIN }, 1, 1);
        ck_assert_int_lt(turns, PATIENCE_MS);
    }
    return false;
}

static bool has_let_go(void *context)
{
    struct house *house = context;
    gnl_port *port;

    ck_assert_int_eq(gnl_accept(house->listener, &port, GNL_NOWAIT), -EAGAIN);
    return count_descriptors() == house->descriptors;
}

static const struct {
    int version;
    bool reset;
} ways[] = { { TLS1_3_VERSION, false }, { TLS1_2_VERSION, true } };

START_TEST(client_cut_at_every_byte_is_no_one_elses_matter)
{
    bool accepted = false;
    struct house house;

    house_begin(&house, ways[_i].version, 0);
    goes_on(&house, 0);
    house.descriptors = count_descriptors();
    for (size_t at = 0; !accepted; at++) {
        struct peer peer;
        peer_begin(&peer, house.context, raw_connect(port_of(house.listener)), at);
        SSL_set_connect_state(peer.ssl);
        accepted = visit(&house, &peer);
        ck_assert(accepted || at < 10000);
        ck_assert(!accepted || at > 500); /* that is a handshake with a certificate */
        peer_end(&peer, ways[_i].reset);
        ck_assert_msg(support_until(has_let_go, &house), "cut after %zu bytes: descriptors %u, not %u", at,
                      count_descriptors(), house.descriptors);
        goes_on(&house, at);
    }
    house_end(&house);
}
END_TEST

/* Connected, a part said, and no more: each is turned away when its time is up. */
START_TEST(clients_that_stop_are_turned_away_in_time)
{
    enum { COUNT = 100 };
    struct peer peers[COUNT];
    struct house house;

    house_begin(&house, TLS1_3_VERSION, gnl_ms(200));
    goes_on(&house, 0);
    house.descriptors = count_descriptors() + COUNT;
    for (size_t i = 0; i < COUNT; i++) {
        peer_begin(&peers[i], house.context, raw_connect(port_of(house.listener)), i * 3);
        SSL_set_connect_state(peers[i].ssl);
        ck_assert(!visit(&house, &peers[i]));
    }
    ck_assert(support_until(has_let_go, &house));
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert(poll(&(struct pollfd){ .fd = peers[i].socket, .events = POLLIN }, 1, PATIENCE_MS) == 1);
        while (peer_read(&peers[i], MSG_DONTWAIT))
            ; /* its end is there */
        peer_end(&peers[i], false);
    }
    goes_on(&house, 0);
    house_end(&house);
}
END_TEST

/* ---- servers that are cut, or listen to a name ---- */

struct host {
    int listener;
    uint16_t port;
    SSL_CTX *context;
    pthread_t thread;
    bool reset, cuts; /* at byte 0, 1, and so on of what it sends */
    atomic_bool stops, whole;
    char name[64]; /* that the client sent; "" none */
};

static void host_one(struct host *host, int socket, size_t limit)
{
    struct peer peer;
    bool well = true;

    peer_begin(&peer, host->context, socket, limit);
    SSL_set_accept_state(peer.ssl);
    while (well && !peer.struck && SSL_do_handshake(peer.ssl) != 1) {
        peer_send(&peer);
        well = peer.struck || peer_read(&peer, 0);
    }
    peer_send(&peer);
    const char *name = SSL_get_servername(peer.ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(host->name, sizeof host->name, "%s", name ? name : "");
    atomic_store(&host->whole, well && !peer.struck);
    while (well && !peer.struck && peer_read(&peer, 0))
        ; /* until the client closes */
    peer_end(&peer, host->reset);
}

static void *be_host(void *context)
{
    struct host *host = context;

    for (size_t at = 0; !atomic_load(&host->stops); at++) {
        int made = accept4(host->listener, NULL, NULL, SOCK_CLOEXEC);
        if (made < 0)
            break;
        host_one(host, made, host->cuts ? at : SIZE_MAX);
    }
    return NULL;
}

static void host_begin(struct host *host, int family)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr *name = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t size = family == AF_INET ? sizeof four : sizeof six;

    host->listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(bind(host->listener, name, size) == 0 && listen(host->listener, 4) == 0 &&
            getsockname(host->listener, name, &size) == 0);
    host->port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
    ck_assert_int_eq(pthread_create(&host->thread, NULL, be_host, host), 0);
}

static void host_end(struct host *host)
{
    atomic_store(&host->stops, true);
    shutdown(host->listener, SHUT_RDWR);
    ck_assert_int_eq(pthread_join(host->thread, NULL), 0);
    close(host->listener);
}

START_TEST(server_cut_at_every_byte_is_an_error)
{
    struct host host = { .reset = ways[_i].reset, .cuts = true };
    struct gnl_tls_options tls;
    char address[GNL_ADDRESS_MAX + 1];
    gnl_port *port;
    int result = -1;
    size_t at = 0;

    tls_make();
    tls = (struct gnl_tls_options){ .ca_file = tls_both_ways.ca_file, .allow_tls_1_2 = 1 };
    host.context = raw_context(ways[_i].version);
    host_begin(&host, AF_INET);
    snprintf(address, sizeof address, "tls:127.0.0.1:%u", host.port);
    for (; result != 0; at++) {
        result = gnl_open(&port, address, &(struct gnl_options){ .tls = &tls, .connect_timeout = PATIENCE });
        ck_assert_msg(result == 0 || result == -EBADMSG, "cut after %zu bytes: %d: %s", at, result,
                      gnl_error_detail());
        ck_assert(result == 0 || strstr(gnl_error_detail(), "midst of TLS's handshake") ||
                  strstr(gnl_error_detail(), "was cut"));
        ck_assert_int_lt(at, 10000);
    }
    ck_assert_int_gt(at, 500);
    assert_ok(gnl_close(port));
    host_end(&host);
    ck_assert(atomic_load(&host.whole));
    SSL_CTX_free(host.context);
    tls_unmake();
}
END_TEST

START_TEST(server_name_is_the_host_asked_for)
{
    static const struct {
        int family;
        const char *host, *server_name, *sent;
    } cases[] = {
        { AF_INET, "localhost", NULL, "localhost" },
        { AF_INET, "127.0.0.1", "localhost", "localhost" },
        { AF_INET, "127.0.0.1", "localhost.", "localhost" }, /* the root's dot is no part of a name in TLS */
        { AF_INET, "127.0.0.1", NULL, "" },
        { AF_INET6, "[::1]", NULL, "" },
        { AF_INET, "localhost", "127.0.0.1", "" },
    };
    struct gnl_tls_options tls;
    char address[GNL_ADDRESS_MAX + 1];
    gnl_port *port;

    tls_make();
    tls = tls_both_ways;
    tls.server_name = cases[_i].server_name;
    struct host host = { .context = raw_context(TLS1_3_VERSION), .name = "nobody came" };
    host_begin(&host, cases[_i].family);
    snprintf(address, sizeof address, "tls:%s:%u", cases[_i].host, host.port);
    assert_ok(gnl_open(&port, address, &(struct gnl_options){ .tls = &tls }));
    assert_ok(gnl_close(port));
    host_end(&host);
    ck_assert_str_eq(host.name, cases[_i].sent);
    SSL_CTX_free(host.context);
    tls_unmake();
}
END_TEST

START_TEST(version_that_is_not_allowed_is_said_to_be)
{
    struct gnl_tls_options tls;
    char address[GNL_ADDRESS_MAX + 1];
    gnl_port *port;

    tls_make();
    tls = tls_both_ways;
    struct host host = { .context = raw_context(TLS1_2_VERSION) };
    host_begin(&host, AF_INET);
    snprintf(address, sizeof address, "tls:127.0.0.1:%u", host.port);
    const struct gnl_options options = { .tls = &tls };
    ck_assert_int_eq(gnl_open(&port, address, &options), -EPROTONOSUPPORT);
    ck_assert_msg(strstr(gnl_error_detail(), "1.2 only if that is allowed"), "%s", gnl_error_detail());
    tls.allow_tls_1_2 = 1;
    assert_ok(gnl_open(&port, address, &options));
    assert_ok(gnl_close(port));
    host_end(&host);
    SSL_CTX_free(host.context);
    tls_unmake();
}
END_TEST

int main(void)
{
    enum { WAYS = sizeof ways / sizeof ways[0] };
    Suite *suite = suite_create("handshake");
    TCase *cut = support_case(suite, "cut");
    TCase *said = support_case(suite, "said");

    gnl_tls_init();
    tcase_add_loop_test(cut, client_cut_at_every_byte_is_no_one_elses_matter, 0, WAYS);
    tcase_add_test(cut, clients_that_stop_are_turned_away_in_time);
    tcase_add_loop_test(cut, server_cut_at_every_byte_is_an_error, 0, WAYS);
    tcase_add_loop_test(said, server_name_is_the_host_asked_for, 0, 6);
    tcase_add_test(said, version_that_is_not_allowed_is_said_to_be);
    return support_run(suite);
}
