// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the demo shows: headings, facts, checks, and a table that is redrawn in place on a terminal.
///
/// Does not know: managers, loops; rows come in as values.

#include <warden/process_info.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace demo {

/// "1.0 GiB", "87 bytes"
[[nodiscard]] std::string in_bytes(std::uint64_t bytes);
/// "2.4 s", "503 ms", "0.4 ms"
[[nodiscard]] std::string in_time(warden::Nanoseconds time);

/// A process in the live table.
struct Row {
    warden::ProcessInfo info;
    std::size_t members = 0;  ///< Of its tree.
    std::string note;
};

class Screen {
public:
    Screen();

    /// Whether the table moves; else it is written again from time to time.
    [[nodiscard]] bool is_live() const noexcept { return live_; }

    void title(std::string_view text, std::string_view more);
    void heading(std::string_view text);
    void fact(std::string_view label, std::string_view value);
    void plain(std::string_view text);
    /// Cells of one line of a table, each as wide as said; negative: to the right.
    void cells(const std::vector<std::string>& texts, const std::vector<int>& widths, bool is_header = false);

    /// Says whether what was promised is so, and remembers if it is not.
    void check(bool holds, std::string_view text);
    [[nodiscard]] int failures() const noexcept { return failures_; }
    [[nodiscard]] int checks() const noexcept { return checks_; }

    /// Draws the table, over the former one if it is live.
    void draw(const std::vector<Row>& rows, warden::Nanoseconds since_start);
    /// The table stays as it is; what follows is written below it.
    void keep_table() noexcept { drawn_lines_ = 0; }

private:
    [[nodiscard]] std::string painted(std::string_view color, std::string_view text) const;
    [[nodiscard]] std::string line_of(const Row& row) const;
    void write(std::string_view text) const;

    bool live_ = false;
    bool colors_ = false;
    std::size_t width_ = 110;
    std::size_t drawn_lines_ = 0;
    int checks_ = 0;
    int failures_ = 0;
};

}  // namespace demo
