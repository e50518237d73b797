// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `PathWatch`, which wakes its owner when a log may have changed, for this system. The Linux backend describes it.

#include <warden/detail/linux/path_watch.hpp>
#include <warden/detail/posix/path_watch.hpp>
#include <warden/detail/windows/path_watch.hpp>
