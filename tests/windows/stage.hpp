// SPDX-License-Identifier: MIT
// What the tests of the Windows backend stand on: a loop, a manager's job, and children whose ends and words are told.
#pragma once

#include <warden/detail/containment/job_object_windows.hpp>
#include <warden/detail/launch/prepared_launch_windows.hpp>
#include <warden/detail/system/process_listing_windows.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/windows/stream_handle.hpp>
#include <boost/system/system_error.hpp>

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace stage {

using namespace warden::detail;
using warden::CommandLine;
using warden::errc;
using warden::error_code;
using warden::Input;
using warden::Output;
using warden::Pid;
using warden::SpawnError;
using warden::SpawnOptions;
using warden::SpawnStep;

/// The child of these tests; it lies beside the test program.
inline std::string victim() {
    std::wstring path(32'768, L'\0');
    path.resize(::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return to_readable((std::filesystem::path(path).parent_path() / L"windows_victim.exe").native());
}

/// A fresh directory that goes with this object.
struct Directory {
    Directory() {
        static int count = 0;
        path = std::filesystem::temp_directory_path() /
               ("warden-windows-" + std::to_string(::GetCurrentProcessId()) + '-' + std::to_string(++count));
        std::filesystem::create_directories(path);
    }
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::filesystem::path path;
};

/// One thread, which runs the loop while it waits for something.
struct Loop {
    boost::asio::io_context context{1};
    std::shared_ptr<ManagerJob> manager = std::make_shared<ManagerJob>(context);

    /// Runs the loop until `done`, or for so long that it has failed.
    bool until(const std::function<bool()>& done) {
        const auto work = boost::asio::make_work_guard(context);
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!done() && std::chrono::steady_clock::now() < deadline)
            context.run_one_for(std::chrono::milliseconds(20));  // what is waited for may happen outside of the loop
        return done();
    }
};

/// A child, what it says, and how it ends.
struct Child {
    Child(Loop& stage, const CommandLine& command, const SpawnOptions& options = {},
          const Output& out = Output::capture, const Output& err = Output::null, LaunchExtension* extension = nullptr)
        : loop(stage), tree(stage.manager), out_pipe(stage.context), err_pipe(stage.context) {
        PreparedLaunch prepared(command, options, out, err);
        if (extension) prepared.extend(*extension);
        tree.launch(prepared.plan, answer);
        if (answer.error != 0) prepared.fail(answer);
        input = std::move(prepared.input);
        const error_code unwatched = tree.watch(
            stage.context,
            [this](const LeaderExit& leader, bool all) {
                end = leader;
                tree_empty = all;
                ++told;
            },
            [this] {
                tree_empty = true;
                ++told_extinct;
            });
        if (unwatched) throw boost::system::system_error(unwatched, "the child cannot be watched");
        read(out_pipe, std::move(prepared.outputs[0]), buffers_[0], said);
        read(err_pipe, std::move(prepared.outputs[1]), buffers_[1], complained);
    }

    /// The words that end with NUL, as the child says them.
    [[nodiscard]] std::vector<std::string> words() const {
        std::vector<std::string> result;
        for (std::size_t at = 0; at < said.size();) {
            const auto stop = std::min(said.find('\0', at), said.size());
            result.push_back(said.substr(at, stop - at));
            at = stop + 1;
        }
        return result;
    }
    [[nodiscard]] std::size_t word_count() const {
        return static_cast<std::size_t>(std::count(said.begin(), said.end(), '\0'));
    }

    bool ends() {
        return loop.until([this] { return end && tree_empty && !out_pipe.is_open() && !err_pipe.is_open(); });
    }
    bool says(std::size_t words) {
        return loop.until([this, words] { return word_count() >= words; });
    }

    Loop& loop;
    ChildAnswer answer;
    JobTree tree;
    UniqueHandle input;
    std::optional<LeaderExit> end;
    bool tree_empty = false;
    int told = 0;
    int told_extinct = 0;
    std::string said;
    std::string complained;

private:
    using Pipe = boost::asio::windows::stream_handle;
    using Buffer = std::array<char, 32'768>;

    void read(Pipe& pipe, UniqueHandle end_of_pipe, Buffer& buffer, std::string& text) {
        if (!end_of_pipe) return;
        pipe.assign(end_of_pipe.release());
        read_on(pipe, buffer, text);
    }
    void read_on(Pipe& pipe, Buffer& buffer, std::string& text) {
        pipe.async_read_some(boost::asio::buffer(buffer), [&](const error_code& ec, std::size_t size) {
            if (ec == boost::asio::error::operation_aborted) return;
            text.append(buffer.data(), size);
            if (!ec) return read_on(pipe, buffer, text);
            error_code ignored;
            pipe.close(ignored);
        });
    }

    Pipe out_pipe;
    Pipe err_pipe;
    std::array<Buffer, 2> buffers_{};
};

/// A process that is looked at from outside.
struct Seen {
    explicit Seen(Pid pid) : process(::OpenProcess(SYNCHRONIZE | PROCESS_TERMINATE, FALSE, static_cast<DWORD>(pid))) {}
    [[nodiscard]] bool lives() const { return process && ::WaitForSingleObject(process.get(), 0) == WAIT_TIMEOUT; }
    [[nodiscard]] bool ends() const {
        return !process || ::WaitForSingleObject(process.get(), 20'000) == WAIT_OBJECT_0;
    }
    UniqueHandle process;
};

}  // namespace stage
