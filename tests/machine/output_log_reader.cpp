// SPDX-License-Identifier: MIT
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/logs/log_sink.hpp>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

using namespace log_test;
using warden::error_code;
using warden::LogSink;
using warden::OnLimit;
using warden::tail_file;

namespace {

void put(const std::filesystem::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

}  // namespace

TEST_CASE("log reader: the newest lines, the unterminated last one too") {
    const Directory directory;
    put(directory / "a.log", "one\n\nthree\nfour");
    CHECK(tail_file(directory / "a.log", 0).empty());
    CHECK(tail_file(directory / "a.log", 1) == std::vector<std::string>{"four"});
    CHECK(tail_file(directory / "a.log", 3) == std::vector<std::string>{"", "three", "four"});
    CHECK(tail_file(directory / "a.log", 9).size() == 4);
    put(directory / "empty.log", "");
    CHECK(tail_file(directory / "empty.log", 9).empty());
}

TEST_CASE("log reader: goes on into rotated files, over a gap of one") {
    const Directory directory;
    put(directory / "a.log", "5\n");
    put(directory / "a.log.1", "3\n4\n");
    put(directory / "a.log.2", "1\n2\n");
    CHECK(tail_file(directory / "a.log", 4) == std::vector<std::string>{"2", "3", "4", "5"});
    CHECK(tail_file(directory / "a.log", 9).size() == 5);
    std::filesystem::remove(directory / "a.log.1");
    CHECK(tail_file(directory / "a.log", 9) == std::vector<std::string>{"1", "2", "5"});
    std::filesystem::remove(directory / "a.log");
    CHECK(tail_file(directory / "a.log.2", 9) == std::vector<std::string>{"1", "2"});
}

TEST_CASE("log reader: lines longer than a block come whole, any bytes survive") {
    const Directory directory;
    std::string text;
    for (std::size_t i = 0; i < 50; ++i)
        text += std::string(i * 3'000, static_cast<char>(128 + i)) + std::string(1, '\0') + "\n";
    put(directory / "a.log", text);
    const auto lines = tail_file(directory / "a.log", 20);
    REQUIRE(lines.size() == 20);
    for (std::size_t i = 0; i < 20; ++i) CHECK(lines[i].size() == (i + 30) * 3'000 + 1);
    CHECK(lines[19].front() == static_cast<char>(128 + 49));
}

TEST_CASE("log reader: what is not a log is refused") {
    const Directory directory;
    const auto refusal = [](const std::filesystem::path& path) {
        error_code ec;
        CHECK(tail_file(path, 5, ec).empty());
        return ec;
    };
    CHECK(refusal(directory / "none") == boost::system::errc::no_such_file_or_directory);
    CHECK(refusal(directory.path()) == boost::system::errc::is_a_directory);
    CHECK_THROWS_AS(tail_file(directory / "none", 1), warden::system_error);
}

TEST_CASE("log reader: misses no line while the log is rotated or replaced under it") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(3)}) {
        const Directory directory;
        error_code ec;
        LogSink sink = LogSink::open(directory / "a.log", {100, 5'000}, on_limit, ec);
        REQUIRE_FALSE(ec);
        for (std::size_t i = 0; i < 200; ++i) sink.write(numbered_line(i));
        std::atomic<std::size_t> published{199};
        std::atomic<int> samples{0};
        std::atomic<bool> done{false};
        std::string fault;
        std::thread reader([&] {
            for (; !done && fault.empty(); ++samples) {
                const std::size_t newest = published;
                error_code failed;
                auto lines = tail_file(directory / "a.log", 25, failed);
                // A write across a page may be seen half done: an unterminated last line.
                if (lines.size() > 2) {
                    const std::size_t number =
                        std::strtoul(lines[lines.size() - 2].substr(0, 9).c_str(), nullptr, 10) + 1;
                    const std::string whole = numbered_line(number);
                    if (lines.back().size() + 1 < whole.size() && whole.starts_with(lines.back())) lines.pop_back();
                }
                std::string text;
                for (const auto& line : lines) text += line + "\n";
                const auto numbers = consecutive_numbers(text);
                if (failed) fault = failed.message();
                else if (!numbers) fault = "a line is missing or torn:\n" + text;
                else if (numbers->size() < 20) fault = "too few lines:\n" + text;
                else if (numbers->back() < newest) fault = "without the newest line";
            }
            samples = 1'000'000;
        });
        for (std::size_t i = 200; i < 20'000 || samples < 50; ++i) {
            sink.write(numbered_line(i));
            published = i;
        }
        done = true;
        reader.join();
        CHECK(fault == "");
    }
}
