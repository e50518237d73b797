// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `RecordFiles`, the directory of records of detached processes: one file per uuid, which is always whole. The POSIX
/// backend describes it; other systems have none yet.

#include <warden/detail/detached/record_files_posix.hpp>
