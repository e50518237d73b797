// SPDX-License-Identifier: MIT
#include "screen.hpp"

#include "system.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>

namespace demo {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view bold = "1", faint = "2", red = "31", green = "32", yellow = "33", magenta = "35",
                           cyan = "36";

/// By `warden::State`.
constexpr std::array<std::string_view, warden::state_count> state_colors{faint, faint, green,  green,  yellow,
                                                                         cyan,  red,   yellow, magenta};

std::string number(double value, const char* unit) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), value < 9.95 ? "%.1f %s" : "%.0f %s", value, unit);
    return text.data();
}

/// Code points; all that we print are one column wide.
std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

std::string fitted(std::string_view text, int width) {
    const bool to_right = width < 0;
    const auto wide = static_cast<std::size_t>(std::abs(width));
    std::string result(text);
    if (columns(text) > wide) result = result.substr(0, wide - 1) + "~";  // only plain text is that long
    const std::string space(wide - columns(result), ' ');
    return to_right ? space + result : result + space;
}

/// Printable ASCII of what a program wrote.
std::string harmless(std::string_view text) {
    std::string result;
    for (const char c : text) result += c >= ' ' && c <= '~' ? c : '?';
    return result;
}

std::string state_of(const warden::ProcessInfo& info) {
    std::string text(to_string(info.state));
    return is_final(info.state) && info.tree_alive ? text + "+tree" : text;
}

}  // namespace

std::string in_bytes(std::uint64_t bytes) {
    if (bytes < 1024) return std::to_string(bytes) + " bytes";
    auto value = static_cast<double>(bytes);
    constexpr std::array units{"bytes", "KiB", "MiB", "GiB"};
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
    return number(value, units[unit]);
}

std::string in_time(warden::Nanoseconds time) {
    return time < 1s ? number(static_cast<double>(time / 1us) / 1e3, "ms")
                     : number(static_cast<double>(time / 1ms) / 1e3, "s");
}

Screen::Screen() {
    const std::optional<std::size_t> terminal = terminal_width();
    live_ = terminal.has_value();
    colors_ = live_ && !std::getenv("NO_COLOR");
    if (terminal.value_or(0) > 0) width_ = *terminal;
}

void Screen::write(std::string_view text) const { std::cout << text << std::flush; }

std::string Screen::painted(std::string_view color, std::string_view text) const {
    if (!colors_) return std::string(text);
    return "\033[" + std::string(color) + 'm' + std::string(text) + "\033[0m";
}

void Screen::title(std::string_view text, std::string_view more) {
    write('\n' + painted(bold, text) + "  " + painted(faint, more) + '\n');
}
void Screen::heading(std::string_view text) { write('\n' + painted(bold, text) + '\n'); }
void Screen::fact(std::string_view label, std::string_view value) {
    write("  " + fitted(label, 29) + std::string(value) + '\n');
}
void Screen::plain(std::string_view text) { write("  " + std::string(text) + '\n'); }

void Screen::cells(const std::vector<std::string>& texts, const std::vector<int>& widths, bool is_header) {
    std::string line = " ";
    for (std::size_t i = 0; i < texts.size(); ++i)
        line += ' ' + (i < widths.size() ? fitted(texts[i], widths[i]) : texts[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    write((is_header ? painted(faint, line) : line) + '\n');
}

void Screen::check(bool holds, std::string_view text) {
    ++checks_;
    failures_ += !holds;
    write("  " + (holds ? painted(green, "ok") : painted(red, "NO")) + "  " + std::string(text) + '\n');
}

std::string Screen::line_of(const Row& row) const {
    const warden::ProcessInfo& info = row.info;
    std::string line = "  " + fitted(info.name, 13) + fitted(std::to_string(info.pid), -8) + "  ";
    line += painted(state_colors[static_cast<std::size_t>(info.state)], fitted(state_of(info), 15));
    line += fitted(row.members > 0 ? std::to_string(row.members) : "-", -4) + fitted(in_time(info.runtime), -9);
    line += fitted(in_bytes(info.output_bytes), -12) + "  ";
    constexpr std::size_t used = 67;  // the columns before it
    const std::string note = harmless(row.note);
    return line + note.substr(0, width_ > used + 1 ? width_ - used - 1 : 0);
}

void Screen::draw(const std::vector<Row>& rows, warden::Nanoseconds since_start) {
    std::string text;
    if (live_ && drawn_lines_ > 0) text += "\033[" + std::to_string(drawn_lines_) + "A\r";
    const std::string clear = live_ ? "\033[K\n" : "\n";
    text += painted(faint, "  process           pid  state          tree     time      output  last words") + clear;
    for (const Row& row : rows) text += line_of(row) + clear;
    if (!live_) text += "  (after " + in_time(since_start) + ")\n";
    write(text);
    drawn_lines_ = rows.size() + 1;
}

}  // namespace demo
