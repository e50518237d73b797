// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Where the standard streams of a child come from and go to.
///
/// Knows:         kinds, paths, and which of them go together.
/// Does not know: descriptors, files; the start opens them.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Allocates:     paths; the shared state of a ProcessPipe.

#include <warden/fwd.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace warden {

/// A pipe between two processes: what one writes is the input of the other, and never passes through this program.
/// Give it as `stdout_` (or `stderr_`) to one and as `stdin_` to the other. Copies are the same pipe. Each end goes to
/// the first process that is started with it, also if that start fails.
class ProcessPipe {
public:
    ProcessPipe() : state_(std::make_shared<State>()) {}

    friend bool operator==(const ProcessPipe&, const ProcessPipe&) = default;

private:
    friend class Input;
    friend class Output;
    friend class detail::PreparedLaunch;

    struct State {
        std::mutex mutex;
        bool made = false;                          // at the first start
        std::array<std::shared_ptr<void>, 2> ends;  // to read, to write
    };

    explicit ProcessPipe(std::nullptr_t) noexcept {}

    std::shared_ptr<State> state_;
};

namespace detail {

/// A pipe, socket or file of Asio, or of anybody who names things so.
template <class T>
concept HasNativeHandle = requires(T& object) {
    object.native_handle();
};

/// As a handle also what Windows counts as sockets.
template <class Native>
[[nodiscard]] NativeHandle to_native(Native native) noexcept {
    if constexpr (std::is_convertible_v<Native, NativeHandle>) return native;
    else return reinterpret_cast<NativeHandle>(native);
}

}  // namespace detail

/// Where the standard input of a child comes from.
class Input {
public:
    enum Kind : std::uint8_t {
        null,     ///< The null device: end of file at once.
        inherit,  ///< That of the program itself.
        pipe,     ///< A pipe that `write` and `close_stdin` of the handle feed.
    };

    Input(Kind kind) : kind_(kind) {}
    /// What another process writes.
    Input(ProcessPipe from) : kind_(from_process), process_pipe_(std::move(from)) {}
    /// A file that is opened for reading at the start.
    [[nodiscard]] static Input from_file(std::filesystem::path path) {
        Input input(null);
        input.kind_ = opened_file;
        input.path_ = std::move(path);
        return input;
    }

    /// An open descriptor or handle of this program. It stays yours, and open until the start has returned; the child
    /// gets a copy, with whatever state the two share: position, flags. On Windows not one for overlapped I/O, which
    /// programs do not expect.
    [[nodiscard]] static Input from_native(NativeHandle handle) {
        Input input(null);
        input.kind_ = native;
        input.native_ = handle;
        return input;
    }
    /// That of a pipe, socket or file of Asio. The start makes it blocking, as programs expect it.
    template <detail::HasNativeHandle T>
    [[nodiscard]] static Input from_native(T& object) {
        Input input = from_native(detail::to_native(object.native_handle()));
        input.make_blocking_ = true;
        return input;
    }

    [[nodiscard]] bool is(Kind kind) const noexcept { return kind_ == kind; }
    [[nodiscard]] bool is_native() const noexcept { return kind_ == native; }
    [[nodiscard]] NativeHandle native_handle() const noexcept { return native_; }
    [[nodiscard]] bool makes_blocking() const noexcept { return make_blocking_; }
    [[nodiscard]] bool is_file() const noexcept { return kind_ == opened_file; }
    [[nodiscard]] bool is_process_pipe() const noexcept { return kind_ == from_process; }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    [[nodiscard]] const ProcessPipe& process_pipe() const noexcept { return process_pipe_; }

    friend bool operator==(const Input&, const Input&) = default;

private:
    enum : std::uint8_t { opened_file = pipe + 1, from_process, native };  // with a path, a pipe, a handle

    std::uint8_t kind_;
    bool make_blocking_ = false;
    NativeHandle native_{};
    std::filesystem::path path_;
    ProcessPipe process_pipe_{nullptr};
};

/// Where an output stream of a child goes; several at once with `|`, for example `Output::capture | Output::log`.
///
/// `inherit` alone hands the program's own descriptor to the child; together with others, warden copies to it.
/// `null`, `merge`, a `ProcessPipe` and an open handle stand alone. `merge` is for stderr: it goes wherever stdout
/// goes, in the order of writing. `to_file` truncates the file and, alone, hands it to the child; together with others,
/// warden copies to it, and the child waits for a slow disk. For a bounded file use `log`.
class Output {
public:
    enum Kind : std::uint8_t { null = 1, inherit = 2, capture = 4, log = 8, merge = 16 };

    Output(Kind kind) : kinds_(kind) {}
    /// To the input of another process.
    Output(ProcessPipe to) : kinds_(to_process), process_pipe_(std::move(to)) {}
    [[nodiscard]] static Output to_file(std::filesystem::path path) {
        Output output(null);
        output.kinds_ = opened_file;
        output.path_ = std::move(path);
        return output;
    }
    /// The same without truncating: what is written comes after what is there, also if others append to it too.
    [[nodiscard]] static Output append_to(std::filesystem::path path) {
        Output output = to_file(std::move(path));
        output.appends_ = true;
        return output;
    }
    /// An open descriptor or handle of this program; one may serve both streams. See `Input::from_native`.
    [[nodiscard]] static Output to_native(NativeHandle handle) {
        Output output(null);
        output.kinds_ = native;
        output.native_ = handle;
        return output;
    }
    template <detail::HasNativeHandle T>
    [[nodiscard]] static Output to_native(T& object) {
        Output output = to_native(detail::to_native(object.native_handle()));
        output.make_blocking_ = true;
        return output;
    }

    friend Output operator|(Output a, const Output& b) {
        a.has_two_files_ = a.has_two_files_ || b.has_two_files_ || (a.has_file() && b.has_file());
        if (a.path_.empty()) a.path_ = b.path_;
        a.appends_ = a.appends_ || b.appends_;
        a.kinds_ = static_cast<std::uint8_t>(a.kinds_ | b.kinds_);
        return a;
    }
    friend Output operator|(Kind a, Kind b) { return Output(a) | Output(b); }

    [[nodiscard]] bool has(Kind kind) const noexcept { return (kinds_ & kind) != 0; }
    [[nodiscard]] bool is_only(Kind kind) const noexcept { return kinds_ == kind; }
    [[nodiscard]] bool is_native() const noexcept { return kinds_ == native; }
    [[nodiscard]] NativeHandle native_handle() const noexcept { return native_; }
    [[nodiscard]] bool makes_blocking() const noexcept { return make_blocking_; }
    [[nodiscard]] bool appends() const noexcept { return appends_; }
    /// A file alone.
    [[nodiscard]] bool is_file() const noexcept { return kinds_ == opened_file; }
    /// A file, alone or beside others.
    [[nodiscard]] bool has_file() const noexcept { return (kinds_ & opened_file) != 0; }
    /// Whether it comes through a pipe of this program.
    [[nodiscard]] bool is_read() const noexcept {
        return has(capture) || has(log) || kinds_ == (int{opened_file} | int{inherit});
    }
    [[nodiscard]] bool is_process_pipe() const noexcept { return kinds_ == to_process; }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    [[nodiscard]] const ProcessPipe& process_pipe() const noexcept { return process_pipe_; }

    /// Whether the combination makes sense.
    [[nodiscard]] bool is_valid() const noexcept {
        constexpr int combine = int{inherit} | int{capture} | int{log} | int{opened_file};
        return !has_two_files_ && ((kinds_ & ~combine) == 0 || (kinds_ & (kinds_ - 1)) == 0);
    }

    friend bool operator==(const Output&, const Output&) = default;

private:
    enum : std::uint8_t { opened_file = 32, to_process = 64, native = 128 };  // with a path, a pipe, a handle

    std::uint8_t kinds_;
    bool appends_ = false;
    bool has_two_files_ = false;
    bool make_blocking_ = false;
    NativeHandle native_{};
    std::filesystem::path path_;
    ProcessPipe process_pipe_{nullptr};
};

/// A pseudoterminal for one process; see `SpawnOptions::terminal` and `pty(7)`.
struct Terminal {
    std::uint16_t columns = 80;  ///< 1 and more.
    std::uint16_t rows = 24;     ///< 1 and more.

    [[nodiscard]] bool is_valid() const noexcept { return columns > 0 && rows > 0; }

    friend bool operator==(const Terminal&, const Terminal&) = default;
};

}  // namespace warden
