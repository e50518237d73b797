// SPDX-License-Identifier: MIT
// The temporary directory of one run of a test program. A run that was killed leaves its own; a later run removes it.
#pragma once

#include <cstddef>
#include <filesystem>

namespace support {

/// `warden-tests-<pid>-XXXXXX`, mode 0755 because some children run as other users; gone with this object. It is locked
/// (flock(2)) as long as this process, or a copy of it, lives.
class RunDirectory {
public:
    explicit RunDirectory(const std::filesystem::path& above);
    RunDirectory(const RunDirectory&) = delete;
    ~RunDirectory();

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
    int lock_ = -1;
};

/// Removes the directories of runs of this user that are over: nobody has the pid, or the lock, and nothing is mounted
/// there. At most `most`, among the first hundred thousand names in `above`; how many.
std::size_t remove_dead_runs(const std::filesystem::path& above, std::size_t most = 20);

}  // namespace support
