/* SPDX-License-Identifier: MIT */
/* producer BYTES [EVERY [FOLDER]]: writes that many bytes of log lines of about 100 bytes, as fast as the pipe takes
 * them, 64 KiB at a time. The lines are made once, before the first write. EVERY: one line in that many ends in "out of
 * memory"; 0 for none. FOLDER: says that it is ready by a byte into the FIFO FOLDER/ready, and begins when nobody holds
 * the file lock of FOLDER/gate alone any more. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define BLOCK (64u * 1024)
#define TEXT (64u * BLOCK)

static char text[TEXT + 256];

static int wait_at_gate(const char* folder) {
    int gate;
    int ready;
    if (chdir(folder) != 0) return 0;
    gate = open("gate", O_RDONLY);
    ready = open("ready", O_WRONLY);
    if (gate < 0 || ready < 0 || write(ready, "", 1) != 1 || flock(gate, LOCK_SH) != 0) return 0;
    return close(ready) == 0 && close(gate) == 0;
}

int main(int argc, char** argv) {
    static const char* const levels[] = {"INFO ", "DEBUG", "WARN ", "ERROR"};
    unsigned long long left = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    const unsigned every = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    size_t size = 0;
    unsigned n = 0;
    size_t at = 0;
    while (size < TEXT) {
        size += (size_t)sprintf(
            text + size,
            "2024-05-17T12:%02u:%02u.%06u %s worker[%u] step %u: loss %u.%04u, %u samples in %u ms, queue %u%s\n",
            n / 60 % 60, n % 60, n * 7919 % 1000000, levels[n % 7 % 4], n % 16, n, n % 5, n * 31 % 10000, n * 128,
            n % 977, n % 64, every > 0 && n % every == 0 ? ", out of memory" : "");
        n++;
    }
    if (argc > 3 && !wait_at_gate(argv[3])) return 1;
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
