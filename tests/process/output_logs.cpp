// SPDX-License-Identifier: MIT
// What programs write into files of their own, which are shells here.
#include <support/fixture.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/output/log_line.hpp>

#include <fstream>

#include <sys/stat.h>

using namespace support;
using namespace std::chrono_literals;
using warden::SpawnOptions;

TEMPLATE_TEST_CASE("logs: the end of a tree is told when all that it wrote itself is in its log", "[logs]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.working_directory = manager.directory.path();
    options.log.collect = "own.log";
    REQUIRE(::mkfifo((manager.directory / "go").c_str(), 0600) == 0);
    for (int i = 0; i < 10; ++i) {
        const std::string word = "round " + std::to_string(i);
        std::filesystem::remove(manager.directory / "own.log");
        auto process =
            manager->spawn({"sh", {"-c", R"((read -r word < go; printf '%s' "$word" >> own.log) &)"}}, options);
        const auto log = process.log_path();
        CHECK(process.wait().success());
        CHECK(process.tree_alive());
        std::ofstream(manager.directory / "go") << word << '\n';
        REQUIRE(eventually([&] { return !process.tree_alive(); }));
        CHECK(warden::tail_file(log, 1) == std::vector{word});
    }
}

TEMPLATE_TEST_CASE("logs: a collected file keeps the bounds of the log, and its format", "[logs]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.log.collect = manager.directory / "own.log";
    options.log.limits = {100, 10'000};
    options.log.format = warden::LogFormat::prefixed;
    auto process = manager->spawn({"sh", {"-c", "seq 100000 > \"$0\"", options.log.collect.string()}}, options);
    CHECK(process.wait().success());
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
    const auto lines = warden::tail_file(process.log_path(), 1000);
    REQUIRE(lines.size() >= 50);
    CHECK(lines.size() <= 100);
    const auto last = warden::parse_log_line(warden::LogFormat::prefixed, lines.back());
    REQUIRE(last);
    CHECK(last->stream == "file");
    CHECK(last->text == "100000");
}
