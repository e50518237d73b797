// SPDX-License-Identifier: MIT
// A FIFO on which children announce themselves, so that nobody sleeps. `victim --ready FIFO MODE` writes to it.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include <sys/types.h>

namespace support {

class Handshake {
public:
    explicit Handshake(std::filesystem::path path);
    Handshake(const Handshake&) = delete;
    ~Handshake();

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// The next line; nothing if none comes. `patience` only bounds a failure.
    [[nodiscard]] std::optional<std::string> line(std::chrono::milliseconds patience = std::chrono::seconds(10));

    /// The pid in the next line ("ready 123"); 0 if none comes.
    [[nodiscard]] pid_t pid(std::chrono::milliseconds patience = std::chrono::seconds(10));

private:
    std::string path_;
    int fd_ = -1;
    std::string text_;
};

}  // namespace support
