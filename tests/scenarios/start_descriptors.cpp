// SPDX-License-Identifier: MIT
// A child has the streams that were asked for, and no other child holds them.
#include <support/start.hpp>

#include <atomic>
#include <chrono>
#include <thread>

using namespace support;
using namespace std::chrono_literals;
using warden::Input;
using warden::Output;
using warden::SpawnOptions;

namespace {

constexpr int rounds = WARDEN_OS_WINDOWS ? 5 : 25;

/// What the player says with the orders `both 50`, in one place.
std::string in_turn() {
    std::string text;
    for (int i = 1; i <= 50; ++i) text += "out " + std::to_string(i) + "\nerr " + std::to_string(i) + '\n';
    return text;
}

}  // namespace

TEMPLATE_TEST_CASE("descriptors: merged streams are one pipe or one file, and keep their order", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions merged;
    merged.stderr_ = Output::merge;
    const auto result = manager->run(play("both", "50"), merged);
    CHECK(result.out == in_turn());
    CHECK(result.err == "");

    merged.stdout_ = Output::to_file(manager.directory / "both");
    CHECK(manager->run(play("both", "50"), merged).success());
    CHECK(read_file(manager.directory / "both") == in_turn());
}

TEMPLATE_TEST_CASE("descriptors: one file named for both streams is opened once, so neither overwrites the other",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = Output::to_file(manager.directory / "both");
    options.stderr_ = Output::to_file(manager.directory / "both");
    CHECK(manager->run(play("both", "50"), options).success());
    CHECK(read_file(manager.directory / "both") == in_turn());
}

TEMPLATE_TEST_CASE("descriptors: children that start at once do not hold each other's pipes", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < rounds; ++i)
                good += manager->run(play("handles"), {.stdin_ = Input::pipe}).out == "3\n";
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(good == 4 * rounds);
}

TEMPLATE_TEST_CASE("descriptors: end of file arrives although younger siblings live", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdin_ = Input::pipe;
    options.stdout_ = Output::capture;
    std::vector<warden::ManagedProcess> readers;
    for (int i = 0; i < 5; ++i) readers.push_back(manager->spawn(play("echo"), options));
    for (auto& reader : readers) {  // the oldest first: all the others could hold its pipe
        reader.write("last words");
        reader.close_stdin();
        const auto status = reader.wait_for(20s);
        REQUIRE(status.has_value());
        CHECK(status->success());
    }
}
