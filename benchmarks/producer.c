/* SPDX-License-Identifier: MIT */
/* producer BYTES: writes that many bytes of log lines of about 100 bytes, as fast as the pipe takes them, 64 KiB at a
 * time. The lines are made once, before the first write. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK (64u * 1024)
#define TEXT (64u * BLOCK)

static char text[TEXT + 256];

int main(int argc, char** argv) {
    static const char* const levels[] = {"INFO ", "DEBUG", "WARN ", "ERROR"};
    unsigned long long left = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    size_t size = 0;
    unsigned n = 0;
    size_t at = 0;
    while (size < TEXT) {
        size += (size_t)sprintf(
            text + size,
            "2024-05-17T12:%02u:%02u.%06u %s worker[%u] step %u: loss %u.%04u, %u samples in %u ms, queue %u\n",
            n / 60 % 60, n % 60, n * 7919 % 1000000, levels[n % 7 % 4], n % 16, n, n % 5, n * 31 % 10000, n * 128,
            n % 977, n % 64);
        n++;
    }
    while (left > 0) {
        const size_t wanted = left < BLOCK ? (size_t)left : BLOCK;
        const ssize_t written = write(1, text + at, wanted);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return 1;
        left -= (unsigned long long)written;
        at = at + (size_t)written + BLOCK <= TEXT ? at + (size_t)written : 0;
    }
    return 0;
}
