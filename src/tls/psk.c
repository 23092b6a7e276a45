/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pre-shared keys: a file of lines NAME:HEX. A session uses them in its handshake only, while its context is
 * there: that of a listener as long as it is, that of who connects until it is done.
 */
#include "tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#define KEYS_MAX  1024
#define KEY_LEAST 16

static int nibble(char digit)
{
    const char *digits = "0123456789abcdefABCDEF", *found = digit ? strchr(digits, digit) : NULL;

    if (!found)
        return -1;
    return found - digits < 16 ? (int)(found - digits) : (int)(found - digits) - 6;
}

/* A line without its end. */
static bool parse(struct gnli_psk *psk, const char *line)
{
    const char *colon = strrchr(line, ':');
    size_t name = colon ? (size_t)(colon - line) : 0, digits = colon ? strlen(colon + 1) : 0;

    if (name < 1 || name > GNLI_PSK_NAME || digits % 2 != 0 || digits < (size_t)2 * KEY_LEAST ||
        digits > (size_t)2 * GNLI_PSK_MAX)
        return false;
    *psk = (struct gnli_psk){ .size = (unsigned)digits / 2 };
    memcpy(psk->name, line, name);
    for (size_t i = 0; i < digits; i += 2) {
        int high = nibble(colon[1 + i]), low = nibble(colon[2 + i]);
        if (high < 0 || low < 0)
            return false;
        psk->key[i / 2] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static int read_keys(struct gnli_tls_context *context, FILE *file, const char *path, const char *subject)
{
    char line[GNLI_PSK_NAME + 2 * GNLI_PSK_MAX + 4];
    int result = 0;

    for (unsigned number = 1; result == 0 && fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (context->keys_count == KEYS_MAX)
            result = context->fail(-EINVAL, "%s: %s: more than %d keys", subject, path, KEYS_MAX);
        else if (!parse(&context->keys[context->keys_count], line))
            result = context->fail(-EINVAL,
                                   "%s: %s: line %u is not NAME:HEX with a key of %d to %d bytes in "
                                   "hexadecimal",
                                   subject, path, number, KEY_LEAST, GNLI_PSK_MAX);
        else
            context->keys_count++;
    }
    OPENSSL_cleanse(line, sizeof line);
    if (result == 0 && context->keys_count == 0)
        result = context->fail(-EINVAL, "%s: %s: no key is in there: give lines NAME:HEX", subject, path);
    return result;
}

static const struct gnli_tls_context *context_of(SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static unsigned use_key(const struct gnli_psk *psk, unsigned char *key, unsigned room)
{
    if (psk->size > room)
        return 0;
    memcpy(key, psk->key, psk->size);
    return psk->size;
}

static unsigned offer(SSL *ssl, const char *hint, char *name, unsigned name_room, unsigned char *key,
                      unsigned room)
{
    const struct gnli_psk *psk = &context_of(ssl)->keys[0];

    (void)hint;
    if (strlen(psk->name) >= name_room)
        return 0;
    strcpy(name, psk->name);
    return use_key(psk, key, room);
}

static unsigned find(SSL *ssl, const char *name, unsigned char *key, unsigned room)
{
    const struct gnli_tls_context *context = context_of(ssl);

    for (unsigned i = 0; i < context->keys_count; i++)
        if (strcmp(context->keys[i].name, name) == 0)
            return use_key(&context->keys[i], key, room);
    return 0;
}

int gnli_psk_use(struct gnli_tls_context *context, const char *path, const char *subject)
{
    FILE *file = fopen(path, "re");

    if (!file) {
        int error = errno;
        return context->fail(-error, "%s: cannot read %s: %s", subject, path, strerrordesc_np(error));
    }
    context->keys = calloc(KEYS_MAX, sizeof *context->keys);
    int result = context->keys ? read_keys(context, file, path, subject)
                               : context->fail(-ENOMEM, "%s: no memory", subject);
    fclose(file);
    SSL_CTX_set_app_data(context->ssl, context);
    if (context->listens)
        SSL_CTX_set_psk_server_callback(context->ssl, find);
    else
        SSL_CTX_set_psk_client_callback(context->ssl, offer);
    return result;
}
