// SPDX-License-Identifier: MIT
// LogSink: at every step the files are within the bound, and an end of what was written.
//   input: mode (k: keep_newest, r: rotate), rotated files, longest in lines, in characters (one byte each), then
//   writes that end with `|`; the first byte of each: o opens the file anew, m writes the text many times, l adds a
//   newline
#include "fuzz.hpp"
#include <warden/logs/log_sink.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

using fuzz::continues;
using fuzz::require;
using warden::LogLimits;
using warden::LogSink;
using warden::OnLimit;

struct Size {
    std::size_t lines = 0;
    std::size_t chars = 0;
    std::size_t bytes = 0;
};

Size measure(std::string_view text) {
    Size size{!text.empty() && text.back() != '\n' ? 1u : 0u, 0, text.size()};
    for (const char byte : text) {
        size.lines += byte == '\n';
        size.chars += !continues(byte);
    }
    return size;
}

bool within(std::string_view text, const LogLimits& limits) {
    const Size size = measure(text);
    return size.lines <= limits.max_lines && size.chars <= limits.max_chars && size.bytes <= 4 * limits.max_chars;
}

std::string slurp(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The whole lines within the newest half of the bound, and of a line that is longer than the whole bound its end.
std::string_view naive_half(std::string_view text, const LogLimits& limits) {
    const LogLimits half{limits.max_lines / 2 + limits.max_lines % 2, limits.max_chars / 2 + limits.max_chars % 2};
    std::size_t begin = text.size();
    while (begin > 0 && within(text.substr(begin - 1), half)) --begin;
    if (begin == 0 || begin == text.size() || text[begin - 1] == '\n') return text.substr(begin);
    for (int i = 0; i < 3 && begin < text.size() && continues(text[begin]); ++i) ++begin;
    const std::size_t start = text.rfind('\n', begin - 1) + 1;
    const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    return text.substr(within(text.substr(start, end - start), limits) ? end : begin);
}

class Run {
public:
    Run(OnLimit on_limit, LogLimits limits) : on_limit_(on_limit), limits_(limits) {
        path_ = fuzz::scratch() / "log" / "a.log";
        std::filesystem::remove_all(path_.parent_path());
        open();
    }

    void open() {
        warden::error_code ec;
        sink_ = LogSink();  // there is one sink per path
        sink_ = LogSink::open(path_, limits_, on_limit_, ec);
        require(!ec, "the log can be opened", ec.message());
    }

    void reopen() {
        const std::string before = whole_log();
        open();
        require(whole_log() == before, "opening a log anew changes nothing", before);
        opened_anew_ = true;
    }

    void write(std::string_view text) {
        now_ += std::chrono::milliseconds(7);
        sink_.write(text, now_);
        all_ += text;
        const std::string_view all = all_;
        const std::size_t start = all.size() - text.size();
        std::size_t line = start == 0 ? 0 : all.rfind('\n', start - 1) + 1;
        while (line < all.size()) {
            const std::size_t end = std::min(all.find('\n', line), all.size() - 1) + 1;
            has_long_line_ = has_long_line_ || !within(all.substr(line, end - line), limits_);
            line = end;
        }
        check();
    }

private:
    [[nodiscard]] std::filesystem::path rotated(std::size_t i) const {
        return path_.native() + '.' + std::to_string(i);
    }

    [[nodiscard]] std::string whole_log() const {
        std::string text;
        for (std::size_t i = on_limit_.kept_files(); i > 0; --i) text += slurp(rotated(i));
        return text + slurp(path_);
    }

    void check() const {
        const std::string_view all = all_;
        const std::string active = slurp(path_);
        require(within(active, limits_), "the file is within its bound", active);
        require(all.ends_with(active), "the file is an end of what was written", active);
        require(all.empty() || continues(all.back()) || !active.empty(), "something is kept");
        const auto stats = sink_.stats();
        const Size size = measure(active);
        require(stats.lines == size.lines && stats.chars == size.chars, "the counts are those of the file", active);
        require(stats.dropped_bytes == 0 && !stats.degraded, "nothing is dropped");
        if (on_limit_.rotates()) check_rotated();
        else check_newest(active);
        check_tail();
        std::size_t entries = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path_.parent_path())) ++entries;
        require(entries <= on_limit_.kept_files() + 1, "no other files are left behind");
    }

    void check_newest(std::string_view active) const {
        if (opened_anew_ && has_long_line_) return;  // what begins inside a long line is taken for a line then
        require(active.size() >= naive_half(all_, limits_).size(), "the newest half of the bound is kept", active);
        require(has_long_line_ || begins_line(active), "the cut falls between lines", active);
    }

    void check_rotated() const {
        for (std::size_t i = 1; i <= on_limit_.kept_files(); ++i) {
            const std::string text = slurp(rotated(i));
            require(within(text, limits_), "a rotated file is within the bound", text);
            require(text.empty() || text.back() == '\n', "a rotated file ends with a whole line", text);
        }
        if (has_long_line_) return;  // it lost its beginning
        const std::string text = whole_log();
        require(std::string_view(all_).ends_with(text), "all files are an end of what was written", text);
        require(begins_line(text), "no line is split between files", text);
    }

    void check_tail() const {
        const auto tail = sink_.tail(3);
        const auto lines = fuzz::lines_of(all_);
        require(all_.empty() || continues(all_.back()) || !tail.empty(), "the tail has something");
        require(tail.size() <= std::min<std::size_t>(3, lines.size()), "the tail has no more lines than there are");
        for (std::size_t i = 1; i <= tail.size() && i <= lines.size(); ++i) {
            const std::string& line = lines[lines.size() - i];
            const std::string& seen = tail[tail.size() - i];
            const bool may_be_cut = i == tail.size() && has_long_line_;
            require(may_be_cut ? line.ends_with(seen) : line == seen, "the tail is the newest lines", seen);
        }
    }

    [[nodiscard]] bool begins_line(std::string_view end_of_all) const {
        return end_of_all.size() == all_.size() || all_[all_.size() - end_of_all.size() - 1] == '\n';
    }

    OnLimit on_limit_;
    LogLimits limits_;
    std::filesystem::path path_;
    LogSink sink_;
    LogSink::Clock::time_point now_{};
    std::string all_;
    bool has_long_line_ = false;
    bool opened_anew_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, std::min<std::size_t>(size, 2'000));
    const bool rotates = input.byte() % 2 == 0;
    const std::size_t kept = 1 + input.number() % 4;
    const std::size_t lines = 1 + input.number() % 40;
    const std::size_t root = input.number() % 64;
    Run run(rotates ? OnLimit::rotate(kept) : OnLimit::keep_newest, {lines, 1 + root * root / 10});
    (void)input.piece();
    for (int writes = 0; !input.empty() && writes < 50; ++writes) {
        std::string_view piece = input.piece();
        const char action = piece.empty() ? '\0' : piece.front();
        std::string text(action == 'o' || action == 'm' || action == 'l' ? piece.substr(1) : piece);
        if (action == 'o') run.reopen();
        if (action == 'l') text += '\n';
        for (int i = 0; action == 'm' && i < 5; ++i) text += text;
        run.write(text);
    }
    return 0;
}
