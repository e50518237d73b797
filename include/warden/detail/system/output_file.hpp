// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A file of the user that output is copied to, beside its other destinations.
///
/// Knows:         how it is opened: made if it is missing, emptied or not, and always written at its end, so that two
///                streams may share it.
/// Does not know: what is written.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
///
///     OutputFile                                               owns a descriptor or handle, closed on exec
///     OutputFile open_output_file(path, appends, error_code&)  a FIFO without a reader is an error
///     std::size_t write_output(const OutputFile&, text)        waits where that is needed; how many bytes are lost

#include <warden/detail/system/output_file_posix.hpp>
#include <warden/detail/system/output_file_windows.hpp>
