// SPDX-License-Identifier: MIT
#include "fleet.hpp"

#include "system.hpp"

#include <charconv>
#include <chrono>
#include <string_view>
#include <utility>

namespace demo {
namespace {

using namespace std::chrono_literals;
using warden::CommandLine;
using warden::ManagedProcess;

constexpr warden::LogLimits flood_limits{};  // the default: 5000 lines, 10000 characters
constexpr warden::LogLimits chatter_limits{20'000, 1'000'000};
constexpr std::size_t chatter_files = 2;

/// The number after `words` in `line`, if it begins so.
bool read_after(std::string_view words, std::string_view line, auto& to) {
    if (!line.starts_with(words)) return false;
    int value = 0;
    std::from_chars(line.data() + words.size(), line.data() + line.size(), value);
    to = static_cast<std::remove_cvref_t<decltype(to.load())>>(value);
    return true;
}

}  // namespace

Fleet::Fleet(warden::ProcessManager& manager, const std::string& marker, std::function<void()> news)
    : flood_log({}, flood_limits), chatter_log({}, chatter_limits) {
    const auto start = [&](const char* name, CommandLine command, warden::SpawnOptions options = {}) {
        options.name = name;
        options.type = "demo";
        options.environment.set("WARDEN_DEMO", marker);
        options.timeout = options.timeout.value_or(1min);
        return manager.spawn(std::move(command), std::move(options));
    };
    const auto tell = std::make_shared<const std::function<void()>>(std::move(news));

    model_server =
        start("model-server", {WARDEN_MODEL_SERVER, "0"}, {.on_line = [heard = heard, tell](std::string_view line) {
                  if (read_after("listening on ", line, heard->port)) (*tell)();
              }});
    flood = start("flood", writer_of(flood_bytes), {.log = {.limits = flood_limits}});
    chatter = start("chatter", writer_of(chatter_bytes),
                    {.log = {.limits = chatter_limits, .on_limit = warden::OnLimit::rotate(chatter_files)}});
    trainer =
        start("trainer", demo::trainer(),
              {.on_line = [heard = heard](std::string_view line) { read_after("step ", line, heard->steps_done); }});
    stubborn = start("stubborn", demo::stubborn(), {.on_line = [tell](std::string_view) { (*tell)(); }});
    escape = start("escape", demo::escape(marker), {.on_line = [heard = heard, tell](std::string_view line) {
                       if (read_after("pid ", line, heard->escaped_pid)) (*tell)();
                   }});
    overrun = start("overrun", sleeper(), {.timeout = 2s});

    flood_log = LogWatch(flood.log_path(), flood_limits);
    chatter_log = LogWatch(chatter.log_path(), chatter_limits, chatter_files);
}

std::string Fleet::note_of(const ManagedProcess& process) const {
    if (&process == &trainer) {
        const int done = heard->steps_done;
        return '[' + std::string(static_cast<std::size_t>(done), '#') +
               std::string(static_cast<std::size_t>(Heard::steps - done), '.') + "] " +
               std::to_string(done * 100 / Heard::steps) + " %";
    }
    if (&process == &model_server && heard->port != 0) {
        return "port " + std::to_string(heard->port) + ", " + std::to_string(heard->answers) + " answers";
    }
    if (&process == &escape && heard->escaped_pid != 0) {
        return "grandchild " + std::to_string(heard->escaped_pid) + " on its own";
    }
    const auto tail = process.tail(2);  // the newest line may not be complete yet
    return tail.empty() ? "" : tail.front();
}

std::vector<Row> Fleet::rows() const {
    std::vector<Row> rows;
    for (const ManagedProcess* process : {&model_server, &flood, &chatter, &trainer, &stubborn, &escape, &overrun}) {
        rows.push_back({process->info(), process->tree().size(), note_of(*process)});
    }
    return rows;
}

}  // namespace demo
