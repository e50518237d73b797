// SPDX-License-Identifier: MIT
// What children write arrives as they wrote it, whatever it is, and what is kept of it is bounded.
#include <support/scenario.hpp>

using namespace support;
using warden::SpawnOptions;

TEMPLATE_TEST_CASE("output: more than a capture may hold is cut, counted and said", "[output][E01]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.capture_bytes = 1000;
    const auto result = manager->run(play("again", "10000", "123456789\n"), options);
    CHECK(result.success());
    CHECK(result.truncated);
    CHECK(result.out.size() == 1000);
    CHECK(manager->metrics().output_bytes_total == 100'000);
}
