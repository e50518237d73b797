// SPDX-License-Identifier: MIT
// A missing right is a loud skip: printed, counted, and the count is printed at the end of the run.
#pragma once

#include <cstddef>
#include <string>

namespace support {

/// Prints the reason and counts.
void note_skip(const std::string& reason);
[[nodiscard]] std::size_t skip_count();

}  // namespace support

/// Ends the case, loudly, unless `condition` holds. Catch2 2 has no SKIP.
#define SKIP_UNLESS(condition, reason)    \
    do {                                  \
        if (!(condition)) {               \
            ::support::note_skip(reason); \
            return;                       \
        }                                 \
    } while (false)
