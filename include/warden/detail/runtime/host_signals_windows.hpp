// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The console events that ask the program to end: Ctrl-C, Ctrl-Break, the closing of the window, logging off, shutting
/// down.
///
/// Knows:         SetConsoleCtrlHandler. The system calls the handlers in a thread of their own, newest first; after
/// the
///                one that says "not mine" the next is called, and at last the system ends the process.
/// Does not know: what is done then.
/// Thread-safety: safe; `start` and `stop` are not for the loop.

#include <warden/detail/base/unique_function.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/runtime/set_up_error.hpp>
#include <warden/detail/system/api_windows.hpp>
#include <warden/detail/system/signal_numbers.hpp>

#if WARDEN_OS_WINDOWS
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace warden::detail {

class HostSignals {
public:
    explicit HostSignals(IoLoop& loop) : loop_(loop) {}
    HostSignals(const HostSignals&) = delete;

    /// From now on `on_signal` is called on the loop for each console event: interrupt for Ctrl-C and Ctrl-Break,
    /// hangup for the closing of the console, terminate for the end of the session. The event takes its usual effect
    /// when all managers are `finished`; the system gives a program a few seconds for the last two.
    [[nodiscard]] std::optional<SetUpError> start(UniqueFunction<void(int signal)> on_signal);

    void stop();
    void close() {}

    static void finished(int signal);
    [[nodiscard]] static bool installed();

private:
    struct Shared {
        std::mutex mutex;
        std::condition_variable all_finished;
        std::vector<HostSignals*> managers;
        std::size_t awaited = 0;
        bool installed = false;
    };
    [[nodiscard]] static Shared& shared();
    static BOOL WINAPI on_event(DWORD event);

    IoLoop& loop_;
    UniqueFunction<void(int)> on_signal_;
};

// -- implementation ----------------------------------------------------------

WARDEN_ONE_PER_PROGRAM inline HostSignals::Shared& HostSignals::shared() {
    static auto* const one = new Shared;  // never destroyed: an event may come at any time
    return *one;
}

inline BOOL WINAPI HostSignals::on_event(DWORD event) {
    const int signal = event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT ? signals::interrupt
                       : event == CTRL_CLOSE_EVENT                        ? signals::hangup
                                                                          : signals::terminate;
    Shared& all = shared();
    std::unique_lock lock(all.mutex);
    for (HostSignals* manager : all.managers) {
        ++all.awaited;
        manager->loop_.post([manager, signal] { manager->on_signal_(signal); });
    }
    all.all_finished.wait(lock, [&] { return all.awaited == 0; });
    return FALSE;  // on to the handlers of the program, and to the usual effect
}

inline std::optional<SetUpError> HostSignals::start(UniqueFunction<void(int)> on_signal) {
    on_signal_ = std::move(on_signal);
    Shared& all = shared();
    const std::lock_guard lock(all.mutex);
    if (!all.installed) {  // once and for all: to take it back would wait for the event that is being handled
        HMODULE pinned = nullptr;
        ::GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                             reinterpret_cast<LPCWSTR>(&HostSignals::on_event), &pinned);
        all.installed = ::SetConsoleCtrlHandler(&HostSignals::on_event, TRUE) != 0;
    }
    if (!all.installed)
        return SetUpError{system_code(static_cast<int>(::GetLastError())), "no handler for console events"};
    all.managers.push_back(this);
    return std::nullopt;
}

inline void HostSignals::stop() {
    Shared& all = shared();
    const std::lock_guard lock(all.mutex);
    std::erase(all.managers, this);
}

inline void HostSignals::finished(int) {
    Shared& all = shared();
    {
        const std::lock_guard lock(all.mutex);
        if (all.awaited > 0) --all.awaited;
    }
    all.all_finished.notify_all();
}

inline bool HostSignals::installed() {
    Shared& all = shared();
    const std::lock_guard lock(all.mutex);
    return all.installed;
}

}  // namespace warden::detail
#endif
