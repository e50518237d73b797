// SPDX-License-Identifier: MIT
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_sink.hpp>

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>

using namespace log_test;
using namespace std::chrono_literals;
using warden::error_code;
using warden::LogLimits;
using warden::LogSink;
using warden::OnLimit;

namespace {

error_code refusal(const std::filesystem::path& path) {
    error_code ec;
    (void)LogSink::open(path, {}, {}, ec);
    return ec;
}

bool within(std::string_view text, const LogLimits& limits) {
    return count_lines(text) <= limits.max_lines && count_chars(text) <= limits.max_chars;
}

std::string random_lines(std::mt19937& random, std::size_t bytes, std::size_t longest) {
    const auto pick = [&random](std::size_t low, std::size_t high) {
        return std::uniform_int_distribution<std::size_t>(low, high)(random);
    };
    std::string text;
    while (text.size() < bytes) {
        for (std::size_t i = pick(0, longest - 1); i > 0; --i) text += pick(0, 9) == 0 ? "€" : "x";
        text += '\n';
    }
    return text;
}

}  // namespace

TEST_CASE("log sink: text is in the file when write returns") {
    const Directory directory;
    LogSink sink = open_sink(directory / "new/folders/a.log");
    sink.write("one\n");
    CHECK(slurp(sink.path()) == "one\n");
    sink.write("tw");
    sink.write("o\n");
    CHECK(slurp(sink.path()) == "one\ntwo\n");
    CHECK(sink.tail(1) == std::vector<std::string>{"two"});
    CHECK(sink.stats().bytes == 8);
    CHECK(sink.stats().lines == 2);
}

TEST_CASE("log sink: keeping the newest, the file is an end of the input, within the bound and at least half of it") {
    std::mt19937 random(5);
    const auto pick = [&random](std::size_t low, std::size_t high) {
        return std::uniform_int_distribution<std::size_t>(low, high)(random);
    };
    const Directory directory;
    for (int round = 0; round < 60; ++round) {
        const LogLimits limits{pick(1, 40), pick(1, 400)};
        const bool long_lines = round % 3 == 0;
        const auto path = directory / std::to_string(round);
        LogSink sink = open_sink(path, limits);
        // Short enough that whole lines always reach half of the bound.
        const std::size_t longest = long_lines ? 3 * limits.max_chars : std::max<std::size_t>(limits.max_chars / 2, 1);
        std::string all;
        std::string source = random_lines(random, 4'000, longest);
        while (!source.empty()) {
            const std::string chunk = source.substr(0, pick(1, pick(0, 3) == 0 ? 900 : 60));
            source.erase(0, chunk.size());
            sink.write(chunk);
            all += chunk;
            if (!long_lines && pick(0, 30) == 0) sink = open_sink(path, limits);
            const std::string text = slurp(path).value();
            INFO("round " << round << ", limits " << limits.max_lines << ", " << limits.max_chars << ", at "
                          << all.size());
            REQUIRE(text.size() <= all.size());
            REQUIRE(std::string_view(all).ends_with(text));
            REQUIRE(within(text, limits));
            REQUIRE(sink.stats().lines == count_lines(text));
            REQUIRE(sink.stats().chars == count_chars(text));
            const bool whole = text.size() == all.size();
            if (!long_lines) {
                REQUIRE((whole || all[all.size() - text.size() - 1] == '\n'));
                REQUIRE(
                    (whole || 2 * count_lines(text) >= limits.max_lines || 2 * count_chars(text) >= limits.max_chars));
            }
        }
        REQUIRE(sink.stats().dropped_bytes == 0);
    }
    CHECK(directory.names().size() == 60);  // and no litter
}

TEST_CASE("log sink: rotating, all files together are an end of the input, each within the bound, no line split") {
    std::mt19937 random(6);
    const auto pick = [&random](std::size_t low, std::size_t high) {
        return std::uniform_int_distribution<std::size_t>(low, high)(random);
    };
    for (int round = 0; round < 40; ++round) {
        const Directory directory;
        const LogLimits limits{pick(1, 40), pick(10, 400)};
        const std::size_t kept = pick(1, 4);
        const auto path = directory / "a.log";
        LogSink sink = open_sink(path, limits, OnLimit::rotate(kept));
        std::string all;
        std::string source = random_lines(random, 6'000, limits.max_chars);
        while (!source.empty()) {
            const std::string chunk = source.substr(0, pick(1, pick(0, 3) == 0 ? 3'000 : 60));
            source.erase(0, chunk.size());
            sink.write(chunk);
            all += chunk;
            if (pick(0, 30) == 0) sink = open_sink(path, limits, OnLimit::rotate(kept));
            INFO("round " << round << ", limits " << limits.max_lines << ", " << limits.max_chars << ", at "
                          << all.size());
            const std::string text = whole_log(path, kept);
            REQUIRE(std::string_view(all).ends_with(text));
            REQUIRE((text.size() == all.size() || all[all.size() - text.size() - 1] == '\n'));
            REQUIRE(within(slurp(path).value(), limits));
            for (std::size_t i = 1; i <= kept; ++i) {
                const auto rotated = slurp(warden::detail::rotated_path(path, i));
                if (!rotated) continue;
                REQUIRE(within(*rotated, limits));
                REQUIRE(rotated->ends_with('\n'));
            }
            REQUIRE(directory.names().size() <= kept + 1);
        }
        REQUIRE(directory.names().size() == kept + 1);
        REQUIRE(sink.stats().dropped_bytes == 0);
    }
}

TEST_CASE("log sink: a single line longer than the bound keeps its end, in both modes") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const Directory directory;
        const LogLimits limits{10, 100};
        LogSink sink = open_sink(directory / "a.log", limits, on_limit);
        std::string all = "short\n";
        sink.write(all);
        for (int i = 0; i < 200; ++i) {
            const std::string piece = std::to_string(i) + "€";
            sink.write(piece);
            all += piece;
            const std::string text = slurp(sink.path()).value();
            REQUIRE(within(text, limits));
            REQUIRE(std::string_view(all).ends_with(text));
            REQUIRE((text.size() == all.size() || count_chars(text) >= 50 || on_limit.rotates()));
        }
        sink.write(std::string(100'000, 'y') + "\n");
        CHECK(slurp(sink.path()).value().ends_with("yyy\n"));
        CHECK(within(slurp(sink.path()).value(), limits));
    }
}

TEST_CASE("log sink: a bound of one line and one character holds") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log", {1, 1});
    for (const char* text : {"a", "b", "\n", "hello\nworld", "\n\n\n", "€"}) {
        sink.write(text);
        CHECK(within(slurp(sink.path()).value(), {1, 1}));
    }
    CHECK(slurp(sink.path()) == "€");
}

TEST_CASE("log sink: bytes that are no UTF-8 cannot make the file grow without bound") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log", {100, 1000});
    const std::string text(1'000, '\x80');
    for (int i = 0; i < 100; ++i) sink.write(text);
    CHECK(std::filesystem::file_size(sink.path()) <= 4'000);
    CHECK(std::filesystem::file_size(sink.path()) >= 1'900);
}

TEST_CASE("log sink: a reader at full speed never sees a file over its bound, torn, or without its newest half") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const Directory directory;
        const LogLimits limits{200, 10'000};
        LogSink sink = open_sink(directory / "a.log", limits, on_limit);
        std::atomic<std::size_t> published{0};
        std::atomic<std::size_t> samples{0};
        std::atomic<bool> done{false};
        std::string fault;
        std::thread reader([&] {
            const auto sample = [&]() -> std::string {
                const std::size_t newest = published;
                const auto text = slurp(sink.path());
                if (!text) return "missing";
                if (!within(*text, limits)) return "over the bound";
                const auto numbers = consecutive_numbers(*text);
                if (!numbers) return "torn, or lines are missing: " + *text;
                if (on_limit.rotates() || newest == 0) return {};
                if (numbers->empty() || numbers->back() < newest) return "without the newest line";
                if (numbers->front() > 0 && 2 * numbers->size() + 2 < limits.max_lines &&
                    2 * count_chars(*text) + 240 < limits.max_chars) {
                    return "less than half";
                }
                return {};
            };
            for (; !done && fault.empty(); ++samples) fault = sample();
            samples = 1'000'000;
        });
        std::mt19937 random(7);
        std::size_t number = 0;
        const auto end = std::chrono::steady_clock::now() + 500ms;
        while (std::chrono::steady_clock::now() < end || samples < 100) {
            std::string chunk;
            const std::size_t first = number;
            for (std::size_t i = random() % 8 == 0 ? 600 : 1 + random() % 4; i > 0; --i)
                chunk += numbered_line(number++);
            sink.write(chunk);
            published = number > first ? number - 1 : 0;
        }
        done = true;
        reader.join();
        INFO(samples << " samples of " << number << " lines");
        CHECK(fault == "");
        CHECK(sink.stats().dropped_bytes == 0);
    }
}

TEST_CASE("log sink: tail and stats may be asked from any thread") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log");
    std::atomic<bool> done{false};
    std::thread asker([&] {
        while (!done) {
            const auto lines = sink.tail(3);
            const auto stats = sink.stats();
            if (lines.size() > 3 || stats.degraded) break;
        }
    });
    for (std::size_t i = 0; i < 2'000; ++i) sink.write(numbered_line(i));
    done = true;
    asker.join();
    CHECK(sink.tail(1).front() + "\n" == numbered_line(1'999));
}

TEST_CASE("log sink: an existing file is continued, and cut at once if it is over the bound") {
    const Directory directory;
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const auto path = directory / (on_limit.rotates() ? "r.log" : "k.log");
        open_sink(path, {100, 1'000}, on_limit).write("first\nunfin");
        LogSink sink = open_sink(path, {100, 1'000}, on_limit);
        CHECK(sink.tail(5) == std::vector<std::string>{"first", "unfin"});
        sink.write("ished\n");
        CHECK(slurp(path) == "first\nunfinished\n");
        sink = open_sink(path, {1, 1'000}, on_limit);
        CHECK(slurp(path) == "unfinished\n");
        CHECK(sink.stats().lines == 1);
    }
    std::string text;
    for (std::size_t i = 0; i < 10'000; ++i) text += numbered_line(i);
    open_sink(directory / "large.log", {1'000'000, 10'000'000}).write(text);
    const LogSink sink = open_sink(directory / "large.log");
    CHECK(within(slurp(sink.path()).value(), {}));
    CHECK(consecutive_numbers(slurp(sink.path()).value()).value().back() == 9'999);
}

TEST_CASE("log sink: what is no place for a log is refused, and says why") {
    namespace conditions = boost::system::errc;
    const Directory directory;
    std::filesystem::create_directory(directory / "folder");
    CHECK(refusal(directory / "folder") == conditions::is_a_directory);
    CHECK(refusal(directory / "folder/") == conditions::is_a_directory);
    CHECK(refusal("") == conditions::is_a_directory);
    open_sink(directory / "real.log").write("mine\n");
    std::filesystem::create_hard_link(directory / "real.log", directory / "second.log");
    CHECK(refusal(directory / "real.log") == conditions::too_many_links);
    CHECK(refusal(directory / "real.log/below") == conditions::not_a_directory);
    CHECK(slurp(directory / "second.log") == "mine\n");
    CHECK(refusal(directory / std::string(253, 'x')) == conditions::filename_too_long);
    error_code ec;
    (void)LogSink::open(directory / "x.log", {0, 1}, {}, ec);
    CHECK(ec == warden::errc::invalid_options);
    CHECK_FALSE(std::filesystem::exists(directory / "x.log"));
}

TEST_CASE("log sink: one that was never opened takes what it is given and counts it as dropped") {
    LogSink sink;
    sink.write("text\n");
    CHECK(sink.stats().degraded);
    CHECK(sink.stats().dropped_bytes == 5);
    CHECK(sink.tail(1) == std::vector<std::string>{"text"});
}
