/* SPDX-License-Identifier: MIT */
/* Does nothing until it is ended. `pauser deaf` ignores SIGTERM. */
#include <signal.h>
#include <unistd.h>

int main(int argc, char** argv) {
    if (argc > 1 && argv[1][0] == 'd') signal(SIGTERM, SIG_IGN);
    for (;;) pause();
}
