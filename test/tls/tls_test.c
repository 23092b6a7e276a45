/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is let in over TLS and who not, with the sentence for each reason; and peers that cut, babble or say
 * nothing.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "certificates.h"

#define PATIENCE gnl_ms(PATIENCE_MS)
#define SERVER   "tls:127.0.0.1:0"

struct server {
    gnl_listener *listener;
    gnl_port *accepted;
    pthread_t thread;
    atomic_bool stops;
};

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_directory(name), "w");

    ck_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void *accept_all(void *context)
{
    struct server *server = context;
    gnl_port *port;

    while (!atomic_load(&server->stops))
        if (gnl_accept(server->listener, &port, gnl_ms(20)) == 0) {
            gnl_close(server->accepted);
            server->accepted = port;
        }
    return NULL;
}

static void serve(struct server *server, const struct gnl_tls_options *tls)
{
    *server = (struct server){ .listener = NULL };
    assert_ok(gnl_listen(&server->listener, SERVER, &(struct gnl_options){ .tls = tls }));
    ck_assert_int_eq(pthread_create(&server->thread, NULL, accept_all, server), 0);
}

static void end(struct server *server)
{
    atomic_store(&server->stops, true);
    ck_assert_int_eq(pthread_join(server->thread, NULL), 0);
    assert_ok(gnl_listener_close(server->listener));
    assert_ok(gnl_close(server->accepted));
}

static int reach(struct server *server, const struct gnl_tls_options *tls)
{
    gnl_port *port;

    int result = gnl_open(&port, gnl_listener_address(server->listener), &(struct gnl_options){ .tls = tls });
    if (result == 0)
        assert_ok(gnl_close(port));
    return result;
}

static void refused(int result, int code, const char *words)
{
    ck_assert_msg(result == code && strstr(gnl_error_detail(), words), "%d, not %d: '%s' does not say '%s'",
                  result, code, gnl_error_detail(), words);
}

/* ---- certificates ---- */

static void expect_certificate(const struct wanted *wanted, const char *name, const char *words)
{
    struct server server;

    certificate_make(wanted);
    serve(&server, &(struct gnl_tls_options){ .certificate_file = in_directory("other.pem"),
                                              .key_file = in_directory("other.key") });
    const struct gnl_tls_options trusting = { .ca_file = in_directory("ca.pem"), .server_name = name };
    if (words)
        refused(reach(&server, &trusting), -EACCES, words);
    else
        assert_ok(reach(&server, &trusting));
    end(&server);
    unlink(in_directory("other.pem"));
    unlink(in_directory("other.key"));
}

START_TEST(certificates_are_checked)
{
    static const struct {
        struct wanted wanted;
        const char *name, *words;
    } cases[] = {
        { { "other", "IP:127.0.0.1", "ca", 0, 0 }, NULL, NULL },
        { { "other", "DNS:server.example", "ca", 0, 0 }, "server.example", NULL },
        { { "other", "DNS:*.server.example", "ca", 0, 0 }, "a.server.example", NULL },
        { { "other", "DNS:server.example", "ca", 0, 0 }, NULL, "another host's" },
        { { "other", "IP:127.0.0.2", "ca", 0, 0 }, NULL, "another host's" },
        { { "other", "IP:127.0.0.1", "ca", 0, 0 }, "server.example", "another host's" },
        { { "other", "IP:127.0.0.1", "ca", -7200, -3600 }, NULL, "has expired" },
        { { "other", "IP:127.0.0.1", "ca", 3600, 7200 }, NULL, "not valid yet" },
        { { "other", "IP:127.0.0.1", NULL, 0, 0 }, NULL, "self-signed" },
        { { "other", "IP:127.0.0.1", "stranger", 0, 0 }, NULL, "unknown authority" },
    };

    tls_make();
    certificate_make(&(struct wanted){ .file = "stranger" });
    expect_certificate(&cases[_i].wanted, cases[_i].name, cases[_i].words);
    unlink(in_directory("stranger.pem"));
    unlink(in_directory("stranger.key"));
    tls_unmake();
}
END_TEST

START_TEST(system_knows_nothing_of_an_authority_of_ones_own)
{
    struct server server;

    tls_make();
    serve(&server, &(struct gnl_tls_options){ .certificate_file = tls_both_ways.certificate_file,
                                              .key_file = tls_both_ways.key_file });
    refused(reach(&server, NULL), -EACCES, "unknown authority");
    end(&server);
    tls_unmake();
}
END_TEST

/* In TLS 1.3 a client is done before the server has looked: it learns from what it receives. */
START_TEST(client_without_a_certificate_is_told_so)
{
    struct server server;
    gnl_port *port;
    char byte;

    tls_make();
    serve(&server, &tls_both_ways);
    assert_ok(reach(&server, &tls_both_ways));
    assert_ok(gnl_open(
        &port, gnl_listener_address(server.listener),
        &(struct gnl_options){ .tls = &(struct gnl_tls_options){ .ca_file = tls_both_ways.ca_file } }));
    refused((int)gnl_recv(port, &byte, 1, PATIENCE), -EACCES, "shows a certificate");
    assert_ok(gnl_close(port));
    end(&server);
    tls_unmake();
}
END_TEST

START_TEST(files_that_are_none_are_said_to_be)
{
    gnl_listener *listener;

    tls_make();
    certificate_make(&(struct wanted){ .file = "other", .names = "DNS:x" });
    write_file("psk", "name:0123\n");
    const struct {
        struct gnl_tls_options tls;
        int code;
        const char *words;
    } cases[] = {
        { { 0 }, -EINVAL, "show a certificate" },
        { { .certificate_file = in_directory("none") }, -ENOENT, "cannot read" },
        { { .certificate_file = tls_both_ways.key_file }, -EINVAL, "no certificate" },
        { { .certificate_file = tls_both_ways.certificate_file }, -EINVAL, "no private key" },
        { { .certificate_file = tls_both_ways.certificate_file, .key_file = in_directory("other.key") },
          -EINVAL,
          "is not that of the certificate" },
        { { .psk_file = in_directory("psk") }, -EINVAL, "line 1 is not NAME:HEX" },
        { { .psk_file = in_directory("none") }, -ENOENT, "cannot read" },
        { { .psk_file = in_directory("psk"), .certificate_file = tls_both_ways.certificate_file },
          -EINVAL,
          "one or the other" },
        { { .reserved = { 1 } }, -EINVAL, "reserved" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(gnl_listen(&listener, SERVER, &(struct gnl_options){ .tls = &cases[i].tls }), cases[i].code,
                cases[i].words);
    refused(gnl_listen(&listener, "tcp:127.0.0.1:0", &(struct gnl_options){ .tls = &tls_both_ways }), -EINVAL,
            "begin with tls:");
    unlink(in_directory("other.pem"));
    unlink(in_directory("other.key"));
    unlink(in_directory("psk"));
    tls_unmake();
}
END_TEST

/* Of who connects as of who listens: a file of either that is not what it should be. */
START_TEST(damaged_files_are_said_to_be)
{
    gnl_listener *listener;
    gnl_port *port;

    tls_make();
    key_lock("host");
    write_file("empty", "");
    write_file("garbage", "\177ELF\2\1\1 no certificate at all\n");
    write_file("no-base64", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    write_file("no-der", "-----BEGIN CERTIFICATE-----\nAAAAAAAA\n-----END CERTIFICATE-----\n");
    const char *certificate = tls_both_ways.certificate_file, *key = tls_both_ways.key_file;
    const struct {
        struct gnl_tls_options tls;
        const char *words;
    } cases[] = {
        { { .certificate_file = certificate, .key_file = in_directory("host.locked") },
          "host.locked is encrypted: give one without a password" },
        { { .certificate_file = certificate, .key_file = in_directory("ca.key") },
          "is not that of the certificate" },
        { { .certificate_file = in_directory("empty"), .key_file = key }, "no certificate in PEM form" },
        { { .certificate_file = in_directory("garbage"), .key_file = key }, "no certificate in PEM form" },
        { { .certificate_file = in_directory("no-base64"), .key_file = key }, "no certificate in PEM form" },
        { { .certificate_file = in_directory("no-der"), .key_file = key }, "no certificate in PEM form" },
        { { .certificate_file = certificate, .key_file = in_directory("empty") }, "no private key in PEM" },
        { { .certificate_file = certificate, .key_file = in_directory("garbage") }, "no private key in PEM" },
        { { .certificate_file = certificate, .key_file = key, .ca_file = in_directory("empty") },
          "no certificate in PEM form" },
        { { .certificate_file = certificate, .key_file = key, .ca_file = in_directory("no-der") },
          "no certificate in PEM form" },
        { { .certificate_file = support_directory(), .key_file = key }, "no certificate in PEM form" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct gnl_options options = { .tls = &cases[i].tls };
        refused(gnl_listen(&listener, SERVER, &options), -EINVAL, cases[i].words);
    }
    struct server server;
    serve(&server, &tls_both_ways);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(gnl_open(&port, gnl_listener_address(server.listener),
                         &(struct gnl_options){ .tls = &cases[i].tls }),
                -EINVAL, cases[i].words);
    const struct gnl_options damaged = { .tls = &cases[0].tls };
    refused(gnl_open(&port, "tls:127.0.0.1:1", &damaged), -EINVAL, cases[0].words); /* nobody listens there */
    end(&server);
    unlink(in_directory("host.locked"));
    unlink(in_directory("empty"));
    unlink(in_directory("garbage"));
    unlink(in_directory("no-base64"));
    unlink(in_directory("no-der"));
    tls_unmake();
}
END_TEST

/* ---- revocation lists ---- */

/* A file of the authority and of a list; with `lists_of` NULL, none. */
static void make_lists(const char *lists_of, const char *revoked, long until_s)
{
    char text[8192] = "";
    FILE *file = fopen(in_directory("ca.pem"), "r");

    ck_assert(file && fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    write_file("trusted", text);
    if (lists_of)
        revocation_append("trusted", lists_of, revoked, until_s);
}

static const struct {
    const char *lists_of, *revoked;
    long until_s;
    const char *words;
} lists[] = {
    { NULL, NULL, 0, NULL },
    { "ca", NULL, 3600, NULL },
    { "ca", "ca", 3600, NULL }, /* another's */
    { "ca", "host", 3600, "was revoked" },
    { "ca", NULL, -3600, "out of date" },
    { "stranger", NULL, 3600, "none is its authority's" },
};

START_TEST(certificates_that_were_revoked_are_refused)
{
    struct server server;

    tls_make();
    certificate_make(&(struct wanted){ .file = "stranger" });
    make_lists(lists[_i].lists_of, lists[_i].revoked, lists[_i].until_s);
    serve(&server, &tls_both_ways);
    struct gnl_tls_options tls = tls_both_ways;
    tls.ca_file = in_directory("trusted");
    if (lists[_i].words)
        refused(reach(&server, &tls), -EACCES, lists[_i].words);
    else
        assert_ok(reach(&server, &tls));
    end(&server);
    unlink(in_directory("stranger.pem"));
    unlink(in_directory("stranger.key"));
    unlink(in_directory("trusted"));
    tls_unmake();
}
END_TEST

/* As with one that is missing, it learns so from what it receives. */
START_TEST(client_whose_certificate_was_revoked_is_told_so)
{
    struct server server;
    gnl_port *port;
    char byte;

    tls_make();
    make_lists("ca", "host", 3600);
    struct gnl_tls_options tls = tls_both_ways;
    tls.ca_file = in_directory("trusted");
    serve(&server, &tls);
    assert_ok(gnl_open(&port, gnl_listener_address(server.listener),
                       &(struct gnl_options){ .tls = &tls_both_ways }));
    refused((int)gnl_recv(port, &byte, 1, PATIENCE), -EACCES, "this side's certificate was revoked");
    assert_ok(gnl_close(port));
    end(&server);
    unlink(in_directory("trusted"));
    tls_unmake();
}
END_TEST

/* ---- pre-shared keys ---- */

START_TEST(who_has_the_key_is_let_in)
{
    struct server server;

    write_file("keys",
               "# two\nalice:00112233445566778899aabbccddeeff\nbob:ffeeddccbbaa99887766554433221100\n");
    write_file("bob", "bob:ffeeddccbbaa99887766554433221100\n");
    write_file("wrong", "bob:000000ccbbaa99887766554433221100\n");
    write_file("unknown", "eve:ffeeddccbbaa99887766554433221100\n");
    serve(&server, &(struct gnl_tls_options){ .psk_file = in_directory("keys") });
    assert_ok(reach(&server, &(struct gnl_tls_options){ .psk_file = in_directory("bob") }));
    assert_ok(reach(&server, &(struct gnl_tls_options){ .psk_file = in_directory("keys") }));
    refused(reach(&server, &(struct gnl_tls_options){ .psk_file = in_directory("wrong") }), -EACCES,
            "differ");
    refused(reach(&server, &(struct gnl_tls_options){ .psk_file = in_directory("unknown") }),
            -EPROTONOSUPPORT, "key in common");
    refused(reach(&server, NULL), -EPROTONOSUPPORT, "key in common");
    end(&server);
    unlink(in_directory("keys"));
    unlink(in_directory("bob"));
    unlink(in_directory("wrong"));
    unlink(in_directory("unknown"));
}
END_TEST

/* ---- hostile peers ---- */

static int raw_connect(const struct server *server)
{
    const char *address = gnl_listener_address(server->listener);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert(made >= 0 && connect(made, (struct sockaddr *)&to, sizeof to) == 0);
    return made;
}

/* More of them than may be new at a time; and the honest one is let in between. */
START_TEST(mute_and_babbling_ones_keep_nobody_out)
{
    static const char *const babble[] = { "", "GET / HTTP/1.0\r\n\r\n", "\26\3\1\2\0\1\0", "\26\3\3\377\377",
                                          "GNNLSOCK" };
    struct server server;
    int peers[300];

    tls_make();
    serve(&server, &tls_both_ways);
    for (int i = 0; i < 300; i++) {
        const char *text = babble[i % 5];
        peers[i] = raw_connect(&server);
        ck_assert(send(peers[i], text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
        if (i % 100 == 99)
            assert_ok(reach(&server, &tls_both_ways));
    }
    for (int i = 0; i < 300; i++)
        close(peers[i]);
    assert_ok(reach(&server, &tls_both_ways));
    end(&server);
    tls_unmake();
}
END_TEST

/* A listener that speaks no TLS, and one that says nothing at all. */
START_TEST(server_without_tls_is_an_error_in_time)
{
    char address[GNL_ADDRESS_MAX + 1];
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof name;
    gnl_port *port;

    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(bind(listening, (struct sockaddr *)&name, size) == 0 && listen(listening, 4) == 0 &&
              getsockname(listening, (struct sockaddr *)&name, &size) == 0);
    snprintf(address, sizeof address, "tls:127.0.0.1:%d", ntohs(name.sin_port));
    refused(gnl_open(&port, address, &(struct gnl_options){ .connect_timeout = gnl_ms(50) }), -ETIMEDOUT,
            "handshake");
    close(listening);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls");
    TCase *trust = support_case(suite, "trust");
    TCase *hostile = support_case(suite, "hostile");

    gnl_tls_init();
    tcase_add_loop_test(trust, certificates_are_checked, 0, 10);
    tcase_add_test(trust, system_knows_nothing_of_an_authority_of_ones_own);
    tcase_add_test(trust, client_without_a_certificate_is_told_so);
    tcase_add_test(trust, files_that_are_none_are_said_to_be);
    tcase_add_test(trust, damaged_files_are_said_to_be);
    tcase_add_loop_test(trust, certificates_that_were_revoked_are_refused, 0, sizeof lists / sizeof lists[0]);
    tcase_add_test(trust, client_whose_certificate_was_revoked_is_told_so);
    tcase_add_test(trust, who_has_the_key_is_let_in);
    tcase_add_test(hostile, mute_and_babbling_ones_keep_nobody_out);
    tcase_add_test(hostile, server_without_tls_is_an_error_in_time);
    return support_run(suite);
}
