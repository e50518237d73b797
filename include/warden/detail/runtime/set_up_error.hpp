// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Why a manager could not be set up.
///
/// Thread-safety: a value.

#include <warden/error.hpp>

#include <string>

namespace warden::detail {

/// The manager keeps it, and every later start fails with it.
struct SetUpError {
    error_code code;
    std::string message;
};

}  // namespace warden::detail
