// SPDX-License-Identifier: MIT
// What is the same on every system.
#include <support/scenario.hpp>

#include <algorithm>
#include <fstream>
#include <future>
#include <stdexcept>
#include <system_error>

namespace support {

TestDirectory::~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TestDirectory::write(std::string_view name, std::string_view text, unsigned mode) const {
    const auto path = write_file(path_ / name, text);
    std::filesystem::permissions(path, std::filesystem::perms{mode});
    return path;
}

warden::ManagerConfig TestManager::config(warden::Mechanism mechanism, const Adjust& adjust) const {
    warden::ManagerConfig config;
    config.handle_signals = false;
    config.mechanism = mechanism;
    config.data_directory = directory / "data";
    if (adjust) adjust(config);
    return config;
}

std::string reason_to_skip(warden::Mechanism mechanism) {
    return std::string(to_string(mechanism)) + " is not available here: " + why_not_available(mechanism);
}

std::optional<std::string> next_line(warden::ManagedProcess& process) {
    std::promise<std::optional<std::string>> promise;
    process.async_read_line([&](const warden::error_code& ec, std::string line) {
        promise.set_value(ec ? std::nullopt : std::optional(std::move(line)));
    });
    return promise.get_future().get();
}

std::filesystem::path write_file(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
    return path;
}

std::vector<std::string> split(std::string_view text, char end) {
    std::vector<std::string> found;
    while (!text.empty()) {
        const auto at = std::min(text.find(end), text.size());
        found.emplace_back(text.substr(0, at));
        text.remove_prefix(std::min(at + 1, text.size()));
    }
    return found;
}

warden::SpawnError failed_start(warden::ProcessManager& manager, const warden::CommandLine& command,
                                const warden::SpawnOptions& options) {
    try {
        const auto process = manager.spawn(command, options);
    } catch (const warden::SpawnError& error) {
        return error;
    }
    FAIL("'" << command.to_string() << "' could be started");
    throw std::logic_error("not reached");
}

}  // namespace support
