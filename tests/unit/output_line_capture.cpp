// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/output/line_capture.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using warden::CapturePart;
using warden::error_code;
using warden::detail::LineCapture;

namespace {

const error_code eof = boost::asio::error::eof;

/// What readers were told, in that order: "1: line", or "1: end".
class Readers {
public:
    explicit Readers(LineCapture& capture) : capture_(capture) {}

    std::uint64_t read() {
        return capture_.read(CapturePart::line,
                             [this, number = ++count_](const error_code& ec, const std::string& line) {
                                 told_.push_back(std::to_string(number) + ": " + (ec == eof ? "end" : line));
                             });
    }
    [[nodiscard]] const std::vector<std::string>& told() const { return told_; }

private:
    LineCapture& capture_;
    int count_ = 0;
    std::vector<std::string> told_;
};

using Told = std::vector<std::string>;

std::string line_now(LineCapture& capture) {
    const auto answer = capture.read_now(CapturePart::line);
    if (!answer) return "(wait)";
    return answer->code == eof ? "(end)" : answer->line;
}

}  // namespace

TEST_CASE("line capture: until somebody reads by line, it is a bounded buffer") {
    LineCapture capture(4);
    CHECK(capture.append("abc") == 0);
    CHECK(capture.append("def") == 2);
    CHECK_FALSE(capture.must_pause());
    bool truncated = false;
    CHECK(capture.take(truncated) == "abcd");
    CHECK(truncated);
}

TEST_CASE("line capture: a line that is there comes at once, others when they come, each to one reader, in order") {
    LineCapture capture(1000);
    Readers readers(capture);
    CHECK(capture.append("a\nb\r\nc") == 0);
    CHECK(line_now(capture) == "a");
    readers.read();
    readers.read();
    readers.read();
    CHECK(readers.told() == Told{"1: b"});
    CHECK(line_now(capture) == "(wait)");
    CHECK(capture.append("c\nd\ne\nf\nrest") == 0);
    CHECK(readers.told() == Told{"1: b", "2: cc", "3: d"});
    CHECK(line_now(capture) == "e");
    readers.read();
    CHECK(readers.told().back() == "4: f");
    readers.read();
    readers.read();
    capture.end();
    CHECK(readers.told() == Told{"1: b", "2: cc", "3: d", "4: f", "5: rest", "6: end"});
    CHECK(line_now(capture) == "(end)");
}

TEST_CASE("line capture: a reader who gives up gets nothing, and no line is lost") {
    LineCapture capture(1000);
    Readers readers(capture);
    const auto first = readers.read();
    const auto second = readers.read();
    CHECK(capture.cancel(first));
    CHECK_FALSE(capture.cancel(first));
    CHECK(capture.append("a\n") == 0);
    CHECK(readers.told() == Told{"2: a"});
    CHECK_FALSE(capture.cancel(second));
}

TEST_CASE("line capture: readers who read again when they are told come after those who wait") {
    LineCapture capture(1000);
    Told told;
    const auto read = [&](auto&& self, char who, int times) -> void {
        static_cast<void>(capture.read(CapturePart::line, [&, who, times](const error_code&, const std::string& line) {
            told.push_back(who + line);
            if (times > 1) self(self, who, times - 1);
            CHECK_FALSE(capture.read_now(CapturePart::line).has_value());  // nobody is overtaken
        }));
    };
    read(read, 'A', 3);
    read(read, 'B', 2);
    CHECK(capture.append("1\n2\n3\n4\n5\n") == 0);
    CHECK(told == Told{"A1", "B2", "A3", "B4", "A5"});
    CHECK_FALSE(capture.read_now(CapturePart::line).has_value());
}

TEST_CASE("line capture: the writer waits while too much is unread, until half of it is read or somebody waits") {
    LineCapture capture(10);
    int told = 0;
    capture.on_room([&] { ++told; });
    CHECK(capture.append("a\n") == 0);
    CHECK(line_now(capture) == "a");
    CHECK_FALSE(capture.must_pause());
    CHECK(capture.append("bb\ncc\ndd\nee\nff\n") == 0);  // 15: nothing is lost
    CHECK(capture.must_pause());
    CHECK(line_now(capture) == "bb");
    CHECK(line_now(capture) == "cc");
    CHECK(line_now(capture) == "dd");
    CHECK(capture.must_pause());
    CHECK(told == 0);
    CHECK(line_now(capture) == "ee");
    CHECK(told == 1);
    CHECK_FALSE(capture.must_pause());
    CHECK(line_now(capture) == "ff");
    CHECK(told == 1);

    CHECK(capture.append("g\n123456789") == 0);  // the rest is no line, but more than half
    CHECK(capture.must_pause());
    CHECK(line_now(capture) == "g");
    CHECK(told == 1);
    Readers readers(capture);
    readers.read();
    CHECK(told == 2);
    CHECK_FALSE(capture.must_pause());
    CHECK(capture.append("0") == 0);
    CHECK(readers.told() == Told{"1: 1234567890"});  // as long as a line may be
}

TEST_CASE("line capture: with no room at all, what comes is handed out in parts, and is no endless line") {
    LineCapture capture(0);
    Readers readers(capture);
    readers.read();
    CHECK(readers.told().empty());
    CHECK_FALSE(capture.must_pause());
    CHECK(capture.append("ab") == 0);
    CHECK(readers.told() == Told{"1: ab"});
    CHECK(line_now(capture) == "(wait)");
}

TEST_CASE("line capture: threads that read and one that writes: each line comes once, to each reader in order") {
    LineCapture capture(256);
    std::mutex mutex;
    std::condition_variable changed;
    bool has_room = false;
    capture.on_room([&] {
        const std::lock_guard lock(mutex);
        has_room = true;
        changed.notify_one();
    });
    CHECK(line_now(capture) == "(wait)");  // from now on nothing is dropped
    constexpr int lines = 20'000;
    constexpr std::size_t count = 3;
    std::vector<std::vector<int>> got(count);
    std::vector<std::thread> readers;
    for (auto& mine : got) {
        readers.emplace_back([&] {
            for (;;) {
                auto answer = capture.read_now(CapturePart::line);
                if (!answer) {
                    std::mutex waiting;
                    std::condition_variable told;
                    static_cast<void>(capture.read(CapturePart::line, [&](const error_code& ec, std::string line) {
                        const std::lock_guard lock(waiting);
                        answer = LineCapture::Answer{ec, std::move(line)};
                        told.notify_one();
                    }));
                    std::unique_lock lock(waiting);
                    told.wait(lock, [&] { return answer.has_value(); });
                }
                if (answer->code) return;
                mine.push_back(std::stoi(answer->line));
            }
        });
    }
    for (int i = 0; i < lines; ++i) {
        CHECK(capture.append(std::to_string(i) + '\n') == 0);
        if (!capture.must_pause()) continue;
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return std::exchange(has_room, false); });
    }
    capture.end();
    for (auto& reader : readers) reader.join();
    std::vector<int> all;
    for (const auto& mine : got) {
        CHECK(std::is_sorted(mine.begin(), mine.end()));
        all.insert(all.end(), mine.begin(), mine.end());
    }
    std::sort(all.begin(), all.end());
    CHECK(all.size() == lines);
    CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
}

TEST_CASE("line capture: a reader of many lines gets all that are whole, one of bytes all that is there") {
    LineCapture capture(1000);
    CHECK(capture.append("one\ntwo\r\nthr") == 0);
    CHECK(capture.read_now(CapturePart::line)->line == "one");
    CHECK(capture.append("ee\nfour\nfi") == 0);
    CHECK(capture.read_now(CapturePart::lines)->line == "two\r\nthree\nfour\n");
    CHECK_FALSE(capture.read_now(CapturePart::lines));
    CHECK(capture.append("v") == 0);
    CHECK_FALSE(capture.read_now(CapturePart::lines));
    CHECK(capture.append("e\nsi") == 0);
    CHECK(capture.read_now(CapturePart::lines)->line == "five\n");
    CHECK(capture.read_now(CapturePart::bytes)->line == "si");
    CHECK_FALSE(capture.read_now(CapturePart::bytes));
    std::vector<std::string> told;
    const auto note = [&](const error_code& ec, const std::string& text) { told.push_back(ec ? "end" : text); };
    static_cast<void>(capture.read(CapturePart::lines, note));
    static_cast<void>(capture.read(CapturePart::bytes, note));
    CHECK(capture.append("x\nseven") == 0);
    CHECK(told == std::vector<std::string>{"x\n", "seven"});
    CHECK(capture.append("no end") == 0);
    static_cast<void>(capture.read(CapturePart::lines, note));
    static_cast<void>(capture.read(CapturePart::lines, note));
    capture.end();
    CHECK(told == std::vector<std::string>{"x\n", "seven", "no end", "end"});
}

TEST_CASE("line capture: lines that are longer than the bound come in parts as large as it, and the writer waits") {
    LineCapture capture(10);
    bool room = false;
    capture.on_room([&] { room = true; });
    CHECK_FALSE(capture.read_now(CapturePart::lines));
    CHECK(capture.append("0123456789ab") == 0);
    CHECK(capture.must_pause());
    CHECK(capture.read_now(CapturePart::lines)->line == "0123456789ab");
    CHECK(room);
    CHECK_FALSE(capture.must_pause());
}
