/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text: a file, mapped, with any bytes in it. A line ends with a newline; the last one may lack it.
 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

size_t text_line(const struct text *text, size_t start)
{
    const char *newline = memchr(text->bytes + start, '\n', text->size - start);

    return newline ? (size_t)(newline + 1 - (text->bytes + start)) : text->size - start;
}

/* mmap refuses what is empty. */
static int map(struct text *text, int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    *text = (struct text){ .bytes = "", .size = (size_t)status.st_size };
    if (text->size == 0)
        return 0;
    void *bytes = mmap(NULL, text->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    text->bytes = bytes;
    return 0;
}

int text_open(struct text *text, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return -errno;
    int result = map(text, fd);
    close(fd);
    if (result < 0)
        return result;
    for (size_t at = 0; at < text->size; text->lines++) {
        size_t length = text_line(text, at);
        if (length > text->longest)
            text->longest = length;
        at += length;
    }
    return 0;
}
