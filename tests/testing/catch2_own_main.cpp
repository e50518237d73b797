// SPDX-License-Identifier: MIT
// A `main` that does not know of the listener, with a static object whose destructor must run all the same.
#define CATCH_CONFIG_RUNNER
#include <support/catch.hpp>

#include <cstdio>

namespace {

struct Last {
    Last() {
        std::atexit([] { std::fputs("handlers run\n", stderr); });
    }
    Last(const Last&) = delete;
    Last& operator=(const Last&) = delete;
    ~Last() { std::fputs("destructors run\n", stderr); }
} const last;

}  // namespace

int main(int argc, char* argv[]) { return Catch::Session().run(argc, argv); }
