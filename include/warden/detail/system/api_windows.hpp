// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one that opens windows.h: after winsock2.h, which the other order does not bear, and without its macros `min`
/// and `max`.

#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#ifndef NOMINMAX
#define NOMINMAX
#endif

// clang-format off
#include <winsock2.h>
#include <windows.h>
// clang-format on
#endif
