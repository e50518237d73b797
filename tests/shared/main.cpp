// SPDX-License-Identifier: MIT
// Loads two shared libraries that both embed warden: `shared_libraries global|local A.so B.so VICTIM`.
#include "plugin.hpp"

#include <csignal>
#include <cstdio>
#include <string_view>

#include <dlfcn.h>

namespace {

int failures = 0;

void check(bool good, const char* what) {
    std::printf("%s: %s\n", good ? "ok" : "FAILED", what);
    failures += good ? 0 : 1;
}

const Plugin* load(const char* path, int scope) {
    void* const library = ::dlopen(path, RTLD_NOW | scope);
    void* const symbol = library ? ::dlsym(library, "warden_test_plugin") : nullptr;
    if (!symbol) std::fprintf(stderr, "%s\n", ::dlerror());
    return static_cast<const Plugin*>(symbol);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) return 2;
    const bool global = std::string_view(argv[1]) == "global";
    const char* const victim = argv[4];
    const Plugin* const a = load(argv[2], global ? RTLD_GLOBAL : RTLD_LOCAL);
    const Plugin* const b = load(argv[3], global ? RTLD_GLOBAL : RTLD_LOCAL);
    if (!a || !b) return 2;
    const bool one = a->manager() == b->manager();
    if (global) check(one, "both see one manager");
    check(a->code_of(victim, "3") == 3 && b->code_of(victim, "4") == 4, "both start processes and learn how they end");
    check(a->start(victim, "of-a") > 0 && b->start(victim, "of-b") > 0, "both keep a process");
    check(a->active() == (one ? 2u : 1u), "each process is counted once");
    check((b->stop("of-a") == 1) == one, "a process is found through whoever shares its manager");
    check(a->stop("of-a") == 1 && a->active() == (one ? 1u : 0u), "and is gone then");
    check(b->active() == 1 && b->stop("of-b") == 1, "the other one was left alone");
    const auto again = a->start(victim, "left");
    check(again > 0 && ::kill(again, 0) == 0, "the end of the program finds a process");
    return failures == 0 ? 0 : 1;
}
