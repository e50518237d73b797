// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The processes of the demo: what is started, with which options, and what they say.

#include "log_watch.hpp"
#include "screen.hpp"
#include <warden/process_manager.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace demo {

/// Told from threads of the manager, read by everybody.
struct Heard {
    std::atomic<std::uint16_t> port{0};     ///< Where the model server listens.
    std::atomic<int> escaped_pid{0};        ///< The grandchild that left its session.
    std::atomic<int> steps_done{0};         ///< Of the trainer, out of `steps`.
    std::atomic<std::uint64_t> answers{0};  ///< Of the model server to us.
    static constexpr int steps = 20;
};

class Fleet {
public:
    /// Starts all of them. Each carries `marker` in its environment, or in its command where it clears that.
    /// `news` is called, on any thread, whenever something of `heard` changes.
    Fleet(warden::ProcessManager& manager, const std::string& marker, std::function<void()> news);

    [[nodiscard]] std::vector<Row> rows() const;

    std::shared_ptr<Heard> heard = std::make_shared<Heard>();
    warden::ManagedProcess model_server, flood, chatter, trainer, stubborn, escape, overrun;
    LogWatch flood_log, chatter_log;

    [[nodiscard]] std::vector<warden::ManagedProcess*> all() {
        return {&model_server, &flood, &chatter, &trainer, &stubborn, &escape, &overrun};
    }

private:
    [[nodiscard]] std::string note_of(const warden::ManagedProcess& process) const;
};

}  // namespace demo
