// SPDX-License-Identifier: MIT
// What every fuzz target needs: the input in pieces, a check that ends the program, a directory of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace fuzz {

inline std::filesystem::path& scratch_path() {
    static std::filesystem::path path;
    return path;
}

inline void remove_scratch() {
    std::error_code ignored;
    if (!scratch_path().empty()) std::filesystem::remove_all(scratch_path(), ignored);
}

/// A directory that lasts as long as the program.
inline const std::filesystem::path& scratch() {
    if (scratch_path().empty()) {
        std::string name = (std::filesystem::temp_directory_path() / "warden-fuzz-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        scratch_path() = name;
        std::atexit(remove_scratch);
    }
    return scratch_path();
}

/// Ends the program if something is not as promised.
inline void require(bool promised, const char* what, std::string_view seen = {}) {
    if (promised) return;
    std::cerr << "\nfuzz: broken promise: " << what << '\n' << seen << std::endl;
    remove_scratch();
    std::abort();
}

/// The input from its beginning on. What is not there is 0, or empty.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

    [[nodiscard]] bool empty() const { return rest_.empty(); }
    [[nodiscard]] std::string_view rest() const { return rest_; }

    char byte() {
        if (rest_.empty()) return '\0';
        const char first = rest_.front();
        rest_.remove_prefix(1);
        return first;
    }

    /// A byte as a number, so that seeds can be written by hand: '0' is 0, 'a' is 49.
    std::size_t number() { return static_cast<unsigned char>(byte() - '0'); }

    /// All up to the next `|`, which is left out.
    std::string_view piece() {
        const std::size_t end = rest_.find('|');
        const std::string_view found = rest_.substr(0, end);
        rest_.remove_prefix(end == rest_.npos ? rest_.size() : end + 1);
        return found;
    }

private:
    std::string_view rest_;
};

inline bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

/// The lines of a text without their newlines; a last line needs none.
inline std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    }
    return lines;
}

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
