// SPDX-License-Identifier: MIT
// Events are safe to read on Windows, whatever words are in them, and hold nothing of what is secret.
#include <warden/telemetry/event_json.hpp>

#include <boost/json.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <mutex>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::Event;
using warden::EventKind;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

/// Every event of a manager as text, and how many starts failed.
class Failures {
public:
    explicit Failures(warden::ProcessManager& manager)
        : subscription_(manager.subscribe([this](const Event& event) {
              const std::lock_guard lock(mutex_);
              text_ += warden::to_json_line(event, false) + '\n';
              told_ += event.kind == EventKind::spawn_failed ? 1 : 0;
          })) {}
    [[nodiscard]] std::string text() const {
        const std::lock_guard lock(mutex_);
        return text_;
    }
    [[nodiscard]] int told() const {
        const std::lock_guard lock(mutex_);
        return told_;
    }

private:
    mutable std::mutex mutex_;
    std::string text_;
    int told_ = 0;
    warden::Subscription subscription_;
};

bool fails(TestManager& manager, const warden::CommandLine& command, const SpawnOptions& options = {}) {
    warden::error_code ec;
    return !manager->spawn(command, options, ec) && ec;
}

/// The lines of all files in the directory.
std::vector<std::string> log_lines(const std::filesystem::path& directory) {
    std::vector<std::string> lines;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        std::ifstream file(entry.path(), std::ios::binary);
        for (std::string line; std::getline(file, line);) lines.push_back(line);
    }
    return lines;
}

}  // namespace

TEST_CASE("scenario: hostile words become one line of JSON each, in the log of events", "[scenario][events]") {
    struct Word {
        std::string text;
        bool is_utf8 = true;
    };
    const Word hostile[] = {
        {"two\nlines"},
        {"\"quoted\""},
        {"back\\slash\\"},
        {"\x1b[2J\x1b]0;title\x07"},
        {"\xe2\x80\xaereversed"},
        {"\r\n{\"event.name\":\"warden.process.exit\"}"},
        {"\xe2\x80\xa8line separator"},
        {"\x7f"},
        {""},
        {std::string(20'000, 'x')},
        {"\xff\xfe not UTF-8", false},
        {"\xc0\xaf", false},
        {"\xed\xa0\x80", false},
    };
    TestManager manager;
    for (const auto& [text, is_utf8] : hostile) {
        const std::string start = text.substr(0, 200);
        SpawnOptions options;
        options.name = start;
        options.type = start;
        options.metadata = {{start, text}, {"plain", text}};
        if (is_utf8) options.environment.set("HOSTILE", text);
        CHECK(manager->run(victim("exit", "0", is_utf8 ? text : "plain"), options).success());
        CHECK(fails(manager, {"C:\\no\\such\\" + start, text}, options));
    }
    const auto directory = manager.directory / "data" / "events";
    const auto names = [&](std::string_view name) {
        std::size_t found = 0;
        for (const auto& line : log_lines(directory)) {
            boost::system::error_code ec;
            const auto value = boost::json::parse(line, ec);
            if (ec || !value.is_object()) continue;
            const auto* const event = value.as_object().if_contains("event.name");
            found += event && event->is_string() && event->as_string() == name ? 1 : 0;
        }
        return found;
    };
    REQUIRE(eventually([&] {
        return names("warden.process.exit") == std::size(hostile) &&
               names("warden.process.spawn_failed") == std::size(hostile);
    }));
    CHECK(names("warden.process.spawn") == std::size(hostile));
    for (const auto& line : log_lines(directory)) {
        boost::system::error_code ec;
        CHECK(boost::json::parse(line, ec).is_object());
        CHECK_FALSE(ec);
        CHECK(std::none_of(line.begin(), line.end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
        CHECK(line.find("\xe2\x80\xae") == std::string::npos);
        CHECK(line.size() < 4 * warden::max_event_bytes);
    }
}

TEST_CASE("scenario: a secret in the environment is in no file and in no event", "[scenario][events]") {
    const std::string canary = "canary-" + std::to_string(::GetCurrentProcessId()) + "-7d1f";
    TestManager manager;
    const Failures failures(*manager);
    SpawnOptions options;
    options.environment.set("SECRET", canary);
    options.stop_plan = StopPlan{}.terminate(20ms).kill(30s);
    CHECK(manager->run(victim("env"), options).out.find(canary) != std::string::npos);
    CHECK(manager->spawn(victim("ignore-break"), options).stop().clean());
    manager->run(victim("crash"), options);
    CHECK(fails(manager, {"C:\\no\\such\\program.exe"}, options));
    options.working_directory = "C:\\no\\such";
    CHECK(fails(manager, victim("exit", "0"), options));
    REQUIRE(eventually([&] { return failures.told() == 2; }));
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(manager.directory.path())) {
        if (!entry.is_regular_file()) continue;
        ++files;
        CHECK(read_file(entry.path()).find(canary) == std::string::npos);
    }
    CHECK(files >= 2);  // the log of events and that of a process, at least
    CHECK(failures.text().find(canary) == std::string::npos);
}

TEST_CASE("scenario: arguments stay out of the log where that is configured", "[scenario][events]") {
    TestManager manager([](warden::ManagerConfig& config) { config.redact_arguments = true; });
    const Failures failures(*manager);
    CHECK(manager->run(victim("exit", "0", "canary-of-arguments")).success());
    CHECK(fails(manager, {"C:\\no\\such\\program.exe", "canary-of-arguments"}));
    const auto directory = manager.directory / "data" / "events";
    REQUIRE(eventually([&] { return failures.told() == 1 && log_lines(directory).size() >= 4; }));
    for (const auto& line : log_lines(directory)) CHECK(line.find("canary-of-arguments") == std::string::npos);
}
