/* SPDX-License-Identifier: Apache-2.0 */
/* segment_holder NAME: locks the segment, says so, changes half of it, and waits to be killed. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

int main(int argc, char **argv)
{
    gnl_segment *segment;

    if (argc != 2 || gnl_segment_attach(&segment, argv[1], GNL_WRITE) < 0 ||
        gnl_segment_lock(segment, GNL_NOWAIT) < 0) {
        fprintf(stderr, "segment_holder: %s\n", gnl_error_detail());
        return 1;
    }
    memcpy(gnl_segment_data(segment), "half", 4);
    puts("locked");
    fflush(stdout);
    for (;;)
        pause();
}
