// SPDX-License-Identifier: MIT
// Every option of a start that has a number, a duration or a string that reaches the system, with values that it must
// not take.
#include <support/catch.hpp>
#include <warden/manager_config.hpp>
#include <warden/spawn_options.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using namespace warden;
using namespace std::chrono_literals;

namespace {

const std::string nul("a\0b", 3);
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr auto minus_one = static_cast<std::uint64_t>(-1);

/// A value that is refused, and what the refusal says.
template <class Options>
struct Mistake {
    std::string_view says;
    std::function<void(Options&)> make;
};

template <class Options>
std::string mistakes_of(const Options& options) {
    std::string text;
    for (const std::string& mistake : options.validate()) text += mistake + '\n';
    return text;
}

/// Each alone is the one mistake; all together are told at once.
template <class Options>
void check_each(const std::vector<Mistake<Options>>& table) {
    Options all;
    CHECK(mistakes_of(Options()).empty());
    for (const auto& [says, make] : table) {
        Options options;
        make(options);
        const std::string text = mistakes_of(options);
        INFO("expected: " << says << "\nfound: " << text);
        CHECK(text.find(says) != std::string::npos);
        CHECK(std::count(text.begin(), text.end(), '\n') == 1);
        make(all);
    }
    CHECK(all.validate().size() > table.size() / 3);  // several rows set the same option
}

SpawnOptions with_limits(ResourceLimits limits) {
    SpawnOptions options;
    options.limits = limits;
    return options;
}

const std::vector<Mistake<SpawnOptions>> mistakes_of_a_start{
    {"the name", [](auto& o) { o.name = nul; }},
    {"the type", [](auto& o) { o.type = nul; }},
    {"environment", [](auto& o) { o.environment.set("A", nul); }},
    {"environment", [](auto& o) { o.environment.unset(nul); }},
    {"the working directory", [](auto& o) { o.working_directory = nul; }},
    {"the file for stdin", [](auto& o) { o.stdin_ = Input::from_file(nul); }},
    {"the file for stdin is empty", [](auto& o) { o.stdin_ = Input::from_file(""); }},
    {"the file for stdout", [](auto& o) { o.stdout_ = Output::to_file(nul); }},
    {"the file for stdout is empty", [](auto& o) { o.stdout_ = Output::to_file(""); }},
    {"the file for stderr", [](auto& o) { o.stderr_ = Output::to_file(nul); }},
    {"at least one column",
     [](auto& o) {
         o.terminal = Terminal{0, 24};
     }},
    {"at least one column",
     [](auto& o) {
         o.terminal = Terminal{80, 0};
     }},
    {"the log directory", [](auto& o) { o.log.directory = nul; }},
    {"the log directory is empty", [](auto& o) { o.log.directory = ""; }},
    {"log naming", [](auto& o) { o.log.naming = LogNaming::pattern(nul); }},
    {"the log to collect", [](auto& o) { o.log.collect = nul; }},
    {"max_lines is 0", [](auto& o) { o.log.limits.max_lines = 0; }},
    {"max_lines is", [](auto& o) { o.log.limits.max_lines = static_cast<std::size_t>(-1); }},
    {"max_chars is 0", [](auto& o) { o.log.limits.max_chars = 0; }},
    {"max_chars is", [](auto& o) { o.log.limits.max_chars = static_cast<std::size_t>(-1); }},
    {"rotate(0)", [](auto& o) { o.log.on_limit = OnLimit::rotate(0); }},
    {"too many files", [](auto& o) { o.log.on_limit = OnLimit::rotate(static_cast<std::size_t>(-1)); }},
    {"timeout", [](auto& o) { o.timeout = 0s; }},
    {"timeout", [](auto& o) { o.timeout = -500ms; }},
    {"timeout", [](auto& o) { o.timeout = std::chrono::duration<double>(nan); }},
    {"timeout", [](auto& o) { o.timeout = std::chrono::hours::min(); }},
    {"'terminate' is negative", [](auto& o) { o.stop_plan = StopPlan{}.terminate(-1s).kill(0s); }},
    {"'kill' is negative", [](auto& o) { o.stop_plan = StopPlan{}.kill(Nanoseconds::min()); }},
    {"end with kill", [](auto& o) { o.stop_plan = StopPlan{}.terminate(1s); }},
    {"signal 0", [](auto& o) { o.stop_plan = StopPlan{}.signal(0, 1s).kill(1s); }},
    {"signal 65", [](auto& o) { o.stop_plan = StopPlan{}.signal(65, 1s).kill(1s); }},
    {"'run_command'", [](auto& o) { o.stop_plan = StopPlan{}.run_command({nul}, 1s).kill(1s); }},
    {"memory_bytes is 0", [](auto& o) { o.limits.memory_bytes = 0; }},
    {"memory_bytes", [](auto& o) { o.limits.memory_bytes = minus_one; }},
    {"cpu_time", [](auto& o) { o.limits.cpu_time = -5s; }},
    {"cpu_time", [](auto& o) { o.limits.cpu_time = -500ms; }},
    {"cpu_time", [](auto& o) { o.limits.cpu_time = 0s; }},
    {"cpu_time", [](auto& o) { o.limits.cpu_time = Nanoseconds::min(); }},
    {"cpu_share", [](auto& o) { o.limits.cpu_share = 0; }},
    {"cpu_share", [](auto& o) { o.limits.cpu_share = -1; }},
    {"cpu_share", [](auto& o) { o.limits.cpu_share = nan; }},
    {"cpu_share", [](auto& o) { o.limits.cpu_share = infinity; }},
    {"processes is 0", [](auto& o) { o.limits.processes = 0; }},
    {"processes", [](auto& o) { o.limits.processes = minus_one; }},
    {"open_files is 0", [](auto& o) { o.limits.open_files = 0; }},
    {"open_files", [](auto& o) { o.limits.open_files = minus_one; }},
    {"file_bytes", [](auto& o) { o.limits.file_bytes = minus_one; }},
    {"core_bytes", [](auto& o) { o.limits.core_bytes = minus_one; }},
    {"identity.user", [](auto& o) { o.identity.user = nul; }},
    {"identity.user", [](auto& o) { o.identity.user = "4294967295"; }},  // setresuid(2): no change
    {"identity.group", [](auto& o) { o.identity.group = nul; }},
    {"identity.group", [](auto& o) { o.identity.group = "4294967295"; }},
    {"umask", [](auto& o) { o.identity.umask = 01000; }},
    {"umask", [](auto& o) { o.identity.umask = static_cast<std::uint32_t>(-1); }},
    {"nice", [](auto& o) { o.identity.nice = -21; }},
    {"nice", [](auto& o) { o.identity.nice = 20; }},
    {"most is 0", [](auto& o) { o.alerts = {{.pattern = "x", .most = 0}}; }},
    {"most is", [](auto& o) { o.alerts = {{.pattern = "x", .most = static_cast<std::uint32_t>(-1)}}; }},
    {"per is less", [](auto& o) { o.alerts = {{.pattern = "x", .per = 0s}}; }},
    {"per is less", [](auto& o) { o.alerts = {{.pattern = "x", .per = -1min}}; }},
    {"dedupe is negative", [](auto& o) { o.alerts = {{.pattern = "x", .dedupe = -1ns}}; }},
    {"capture_bytes is 0", [](auto& o) { o.capture_bytes = 0; }},
    {"capture_bytes is", [](auto& o) { o.capture_bytes = static_cast<std::size_t>(-1); }},
};

const std::vector<Mistake<ManagerConfig>> mistakes_of_a_manager{
    {"max_processes", [](auto& c) { c.max_processes = 0; }},
    {"max_processes", [](auto& c) { c.max_processes = static_cast<std::size_t>(-1); }},
    {"default_timeout", [](auto& c) { c.default_timeout = 0s; }},
    {"default_timeout", [](auto& c) { c.default_timeout = std::chrono::duration<double>(nan); }},
    {"graceful_timeout", [](auto& c) { c.graceful_timeout = -1ns; }},
    {"health_interval", [](auto& c) { c.health_interval = 0s; }},
    {"health_interval", [](auto& c) { c.cleanup_interval = -1h; }},
    {"'terminate' is negative", [](auto& c) { c.stop_plan = StopPlan{}.terminate(-1s).kill(1s); }},
    {"data_directory", [](auto& c) { c.data_directory = nul; }},
    {"log_directory", [](auto& c) { c.log_directory = nul; }},
    {"max_files", [](auto& c) { c.log_retention.max_files = static_cast<std::size_t>(-1); }},
    {"max_age", [](auto& c) { c.log_retention.max_age = -1s; }},
    {"event_log.path", [](auto& c) { c.event_log.path = nul; }},
    {"max_lines", [](auto& c) { c.event_log.limits.max_lines = 0; }},
    {"rotate(0)", [](auto& c) { c.event_log.on_limit = OnLimit::rotate(0); }},
    {"active_processes", [](auto& c) { c.alerts.active_processes = 0; }},
    {"zombies", [](auto& c) { c.alerts.zombies = static_cast<std::size_t>(-1); }},
    {"orphans", [](auto& c) { c.alerts.orphans = static_cast<std::size_t>(-1); }},
    {"most is 0", [](auto& c) { c.alerts.rules = {{.pattern = "x", .most = 0}}; }},
    {"drain_timeout", [](auto& c) { c.drain_timeout = -2s; }},
    {"consumer_queue_bytes", [](auto& c) { c.consumer_queue_bytes = 0; }},
    {"consumer_queue_bytes", [](auto& c) { c.consumer_queue_bytes = static_cast<std::size_t>(-1); }},
    {"max_line_bytes", [](auto& c) { c.max_line_bytes = 0; }},
    {"pipe_bytes", [](auto& c) { c.pipe_bytes = 0; }},
    {"pipe_bytes", [](auto& c) { c.pipe_bytes = static_cast<std::size_t>(-1); }},
    {"spare_keepers", [](auto& c) { c.spare_keepers = 0; }},
};

}  // namespace

TEST_CASE("options: a value that makes no sense is refused in every option, and all mistakes are told at once") {
    check_each(mistakes_of_a_start);
}

TEST_CASE("configuration: a value that makes no sense is refused in every setting, and all mistakes are told at once") {
    check_each(mistakes_of_a_manager);
}

TEST_CASE("options: the least and the greatest values that make sense are accepted") {
    for (const Timeout timeout : {Timeout(1ns), Timeout(Nanoseconds::max()), Timeout(std::chrono::hours::max()),
                                  Timeout(std::chrono::duration<double>(infinity))}) {
        SpawnOptions options;
        options.timeout = timeout;
        CHECK(options.validate().empty());
    }
    CHECK(with_limits({.cpu_time = 1ns}).validate().empty());
    CHECK(with_limits({.cpu_time = Nanoseconds::max()}).validate().empty());
    CHECK(with_limits({.memory_bytes = 1, .cpu_share = 0.001, .processes = 1, .open_files = 3}).validate().empty());
    CHECK(with_limits({.file_bytes = 0, .core_bytes = 0}).validate().empty());
    CHECK(with_limits({.file_bytes = ResourceLimits::highest}).validate().empty());
    SpawnOptions options;
    options.identity = {.user = "0", .group = "4294967294", .umask = 0777, .nice = -20};
    options.stop_plan = StopPlan{}.terminate(0s).kill(Nanoseconds::max());
    options.capture_bytes = 1;
    CHECK(options.validate().empty());
}

TEST_CASE("options: streams that contradict each other are refused, with what to do instead") {
    const auto refused = [](Output out, std::optional<Output> err, std::string_view says) {
        SpawnOptions options;
        options.stdout_ = std::move(out);
        options.stderr_ = std::move(err);
        const std::string text = mistakes_of(options);
        INFO(text);
        return text.find(says) != std::string::npos;
    };
    CHECK(refused(Output::null | Output::capture, {}, "stand alone"));
    CHECK(refused(Output::merge, {}, "for stderr only"));
    CHECK(refused(Output::to_file("a") | Output::to_file("b"), {}, "one file for a stream"));
    CHECK(refused(Output::to_file("a") | Output::merge, {}, "stand alone"));
    CHECK(refused(Output::to_file("") | Output::capture, {}, "the path of the file for stdout is empty"));
    const ProcessPipe pipe;
    CHECK(refused(pipe, Output(pipe), "same end of a ProcessPipe"));
    SpawnOptions collects;
    collects.log.collect = "train.log";
    CHECK(collects.validate(Output::log).empty());
    CHECK_FALSE(collects.validate(Output::capture).empty());
}

TEST_CASE("options: a bound on output is for a stream that is read, and allows something") {
    SpawnOptions options;
    options.max_output_bytes = 1;
    CHECK(options.validate(Output::log).empty());
    CHECK(options.validate(Output::capture | Output::inherit).empty());
    options.stdout_ = Output::to_file("a") | Output::inherit;
    options.stderr_ = Output::merge;
    CHECK(options.validate().empty());
    options.max_stderr_bytes = 1;
    CHECK(mistakes_of(options).find("max_stderr_bytes bounds a stderr that is read") != std::string::npos);
    options.stdout_ = Output::to_file("a");
    options.stderr_ = Output::null;
    options.max_stderr_bytes.reset();
    CHECK(mistakes_of(options).find("max_output_bytes bounds a stream that is read") != std::string::npos);
    options.stdout_ = Output::capture;
    options.max_output_bytes = 0;
    CHECK(mistakes_of(options).find("a bound on output is 0") != std::string::npos);
}
