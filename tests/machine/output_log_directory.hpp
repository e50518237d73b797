// SPDX-License-Identifier: MIT
// A directory of its own for each log test, and what such a test reads and counts.
#pragma once

#include <support/catch.hpp>
#include <support/skip.hpp>
#include <warden/detail/logs/log_access.hpp>
#include <warden/detail/logs/log_files.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/logs/log_sink.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace log_test {

class Directory {
public:
    Directory() {
        std::random_device random;
        const std::string name = "warden-log-" + std::to_string(random()) + '-' + std::to_string(random());
        path_ = std::filesystem::temp_directory_path() / name;
        REQUIRE(std::filesystem::create_directory(path_));
    }
    Directory(const Directory&) = delete;
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    /// The names of all entries, sorted.
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(path_))
            found.push_back(entry.path().filename().string());
        std::sort(found.begin(), found.end());
        return found;
    }

private:
    std::filesystem::path path_;
};

/// The whole file, by few system calls; nothing if it is not there.
inline std::optional<std::string> slurp(const std::filesystem::path& path) {
    warden::error_code ec;
    const warden::detail::OpenLog file = warden::detail::open_log_to_read(path, ec);
    if (ec) return std::nullopt;
    std::string text(1 << 16, '\0');
    std::size_t size = 0;
    for (std::size_t got = 1; got > 0; size += got) {
        if (size == text.size()) text.resize(text.size() * 2);
        got = warden::detail::read_at(file.handle, size, text.data() + size, text.size() - size, ec);
    }
    text.resize(size);
    return text;
}

inline std::size_t count_lines(std::string_view text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) +
           (!text.empty() && text.back() != '\n');
}

inline std::size_t count_chars(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

/// path.9, path.8, ..., path: in the order of writing.
inline std::string whole_log(const std::filesystem::path& path, std::size_t kept_files) {
    std::string text;
    for (std::size_t i = kept_files; i > 0; --i) text += slurp(warden::detail::rotated_path(path, i)).value_or("");
    return text + slurp(path).value_or("");
}

/// Numbered lines of a hundred bytes or so.
inline std::string numbered_line(std::size_t number) {
    std::string line = std::to_string(number);
    line.insert(0, 9 - std::min<std::size_t>(line.size(), 9), '0');
    return line + std::string(40 + number % 70, static_cast<char>('a' + number % 26)) + '\n';
}

/// The numbers of the complete lines, if each is whole and they are consecutive.
inline std::optional<std::vector<std::size_t>> consecutive_numbers(std::string_view text) {
    std::vector<std::size_t> numbers;
    for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) {
        const std::size_t number = std::strtoul(std::string(text.substr(0, 9)).c_str(), nullptr, 10);
        if (text.substr(0, end + 1) != numbered_line(number)) return std::nullopt;
        if (!numbers.empty() && numbers.back() + 1 != number) return std::nullopt;
        numbers.push_back(number);
        text.remove_prefix(end + 1);
    }
    return numbers;
}

inline warden::LogSink open_sink(const std::filesystem::path& path, const warden::LogLimits& limits = {},
                                 warden::OnLimit on_limit = {}) {
    warden::error_code ec;
    warden::LogSink sink = warden::LogSink::open(path, limits, on_limit, ec);
    INFO(ec.message());
    REQUIRE_FALSE(ec);
    return sink;
}

/// Whether the file system there has a place for the marks of logs.
template <class Place>
bool has_marks(const Place& directory) {
    const std::filesystem::path path = open_sink(directory / "probe.log").path();
    warden::error_code ec;
    const bool marked =
        static_cast<bool>(warden::detail::read_mark(warden::detail::open_log_to_read(path, ec).handle.get()));
    std::filesystem::remove(path);
    return marked;
}

#define SKIP_WITHOUT_MARKS(directory) \
    SKIP_UNLESS(::log_test::has_marks(directory), "no marks of logs in " + (directory).path().string())

}  // namespace log_test
