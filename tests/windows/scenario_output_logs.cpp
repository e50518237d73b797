// SPDX-License-Identifier: MIT
// The logs of real processes where the system refuses to write, or has no marks.
#include <scenarios/output.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/logs/log_search.hpp>
#include <warden/output/log_line.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <fstream>

using namespace support;
using namespace std::chrono_literals;
using warden::EventKind;
using warden::OnLimit;
using warden::SpawnOptions;

TEST_CASE("scenario: a log that cannot be written hurts neither the program nor the child, and is told once",
          "[scenario]") {
    TestManager manager;
    const Events degraded(*manager, EventKind::log_degraded);
    SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    options.log.limits = {1'000'000, 100'000};
    options.log.on_limit = OnLimit::rotate(1);  // the other way keeps in memory what cannot be written yet
    auto process = manager->spawn(play("read", "count", "200000"), options);
    const std::ifstream pin(write_file(process.log_path().string() + ".1", "old\n"));  // it cannot be moved meanwhile
    process.write("go\n");
    CHECK(process.wait_for(60s) == warden::ExitStatus::from_code(0));
    CHECK(process.info().output_bytes == 1'288'895);
    CHECK(process.info().dropped_bytes > 0);
    CHECK(std::filesystem::file_size(process.log_path()) <= 100'000);
    CHECK(eventually([&] { return degraded.all().size() == 1; }));
    CHECK(manager->run(play("echo"), {}, "hello").out == "hello");
    CHECK(degraded.all().size() == 1);
}

TEST_CASE("scenario: a collected file keeps the bounds of the log, and its format", "[scenario]") {
    TestManager manager;
    SpawnOptions options;
    options.log.collect = manager.directory / "own.log";
    options.log.limits = {100, 10'000};
    options.log.format = warden::LogFormat::prefixed;
    std::vector<std::string> orders;
    for (int i = 0; i < 20; ++i) {
        std::string text;
        for (int n = 1; n <= 50; ++n) text += std::to_string(i * 50 + n) + '\n';
        orders.insert(orders.end(), {"append", options.log.collect.string(), text});
    }
    auto process = manager->spawn(play(orders), options);
    CHECK(process.wait().success());
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
    const auto lines = warden::tail_file(process.log_path(), 1000);
    REQUIRE(lines.size() >= 50);
    CHECK(lines.size() <= 100);
    const auto last = warden::parse_log_line(warden::LogFormat::prefixed, lines.back());
    REQUIRE(last);
    CHECK(last->stream == "file");
    CHECK(last->text == "1000");
}

TEST_CASE("scenario: without marks a log is found by the name of its file", "[scenario]") {
    const TestDirectory directory;
    TestManager manager([&](warden::ManagerConfig& config) { config.log_directory = directory.path(); });
    SpawnOptions options;
    options.name = "finder";
    auto process = manager->spawn(play("out", "first\n"), options);
    CHECK(warden::find_log(directory.path(), to_string(process.uuid())) == process.log_path());
    CHECK(process.wait().success());
    options.log.naming = warden::LogNaming::by_name();
    auto named = manager->spawn(play("out", "second\n"), options);
    CHECK(named.wait().success());
    CHECK(warden::find_log(directory.path(), "finder") == named.log_path());
}
