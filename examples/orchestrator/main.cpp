// SPDX-License-Identifier: MIT
// The demo: an orchestrator of real programs, well-behaved and hostile ones, and a proof that nothing is left of them.
//
//   orchestrator               WARDEN_MECHANISM=keeper orchestrator

#include "fleet.hpp"
#include "host_crash.hpp"
#include "http_client.hpp"
#include "proof.hpp"
#include "report.hpp"
#include "screen.hpp"
#include "system.hpp"
#include <warden/process_manager.hpp>
#include <warden/version.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/parse.hpp>
#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace demo;
using Clock = std::chrono::steady_clock;

/// Calls `f` at once and then again and again, `pause` after it returned.
template <class F>
asio::awaitable<void> repeat(Clock::duration pause, F f) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (;;) {
        f();
        timer.expires_after(pause);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

/// Asks the model server over HTTP, as its clients would.
asio::awaitable<void> ask_model_server(std::shared_ptr<Heard> heard) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (int number = 1;; ++number) {
        const std::string health = co_await http_get(heard->port, "/health");
        if (boost::json::parse(health).at("status") == "ok") ++heard->answers;
        const std::string text =
            co_await http_get(heard->port, "/v1/completions?prompt=hello-" + std::to_string(number));
        if (boost::json::parse(text).at("object") == "text_completion") ++heard->answers;
        timer.expires_after(300ms);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

/// A directory of its own for logs and events, gone in the end.
class Scratch {
public:
    Scratch() {
        path_ = fs::temp_directory_path() / ("warden-demo-" + to_string(boost::uuids::random_generator()()));
        if (!fs::create_directory(path_)) throw std::runtime_error(path_.string() + " is there");
        fs::permissions(path_, fs::perms::owner_all);
    }
    Scratch(const Scratch&) = delete;
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

class Demo {
public:
    int run();

private:
    void manage();
    void try_a_missing_program(warden::ProcessManager& manager);
    void work(Fleet& fleet);
    [[nodiscard]] StopsInWords stop(Fleet& fleet);
    void crash(warden::ProcessManager& manager);
    void prove();
    void on_news(Fleet& fleet);
    void remember(Fleet& fleet);

    const std::string marker_ = "warden-demo-" + std::to_string(own_pid());
    const Clock::time_point began_ = Clock::now();
    Scratch scratch_;
    Screen screen_;
    asio::io_context loop_{1};
    int awaited_ = 0;
    bool asking_ = false;
    std::uint16_t port_ = 0;
    std::size_t max_marked_ = 0;
    std::vector<proof::Process> seen_;    // every process of ours that ever showed itself
    std::vector<std::string> instances_;  // the ids of the managers
};

void Demo::try_a_missing_program(warden::ProcessManager& manager) {
    screen_.heading("A start that fails says so itself");
    try {
        const auto never = manager.spawn({"llm-trainer", "--fast"});
        screen_.check(false, "a missing program was reported by spawn");
    } catch (const warden::SpawnError& error) {
        screen_.plain(error.what());
        screen_.check(error.step() == warden::SpawnStep::executable, "a missing program was reported by spawn");
    }
}

/// Every process that is there now has to be gone in the end.
void Demo::remember(Fleet& fleet) {
    for (const warden::ManagedProcess* process : fleet.all()) {
        for (const warden::TreeMember& member : process->tree()) {
            const proof::Process found = proof::look_at(member.pid);
            if (found.pid != 0 && std::find(seen_.begin(), seen_.end(), found) == seen_.end()) seen_.push_back(found);
        }
    }
}

/// A line that somebody waited for has come.
void Demo::on_news(Fleet& fleet) {
    port_ = fleet.heard->port;
    if (port_ != 0 && !std::exchange(asking_, true))
        asio::co_spawn(loop_, ask_model_server(fleet.heard), asio::detached);
    if (--awaited_ == 0) loop_.stop();
}

/// Shows everything at work until what ends by itself has ended.
void Demo::work(Fleet& fleet) {
    screen_.heading("At work");
    for (auto* process : {&fleet.flood, &fleet.chatter, &fleet.trainer, &fleet.overrun}) {
        process->async_wait(asio::bind_executor(loop_, [this](const warden::error_code&, warden::ExitStatus) {
            if (--awaited_ == 0) loop_.stop();
        }));
    }
    asio::steady_timer patience(loop_, 40s);
    patience.async_wait([this](const warden::error_code& ec) {
        if (!ec) loop_.stop();
    });
    asio::co_spawn(loop_, repeat(5ms, [&] { fleet.flood_log.look(), fleet.chatter_log.look(); }), asio::detached);
    const auto redraw = [&] {
        remember(fleet);
        screen_.draw(fleet.rows(), Clock::now() - began_);
    };
    asio::co_spawn(loop_, repeat(screen_.is_live() ? 100ms : 1000ms, redraw), asio::detached);
    loop_.run();

    remember(fleet);
    max_marked_ = proof::marked(marker_).size();
    const proof::Process grandchild = proof::look_at(fleet.heard->escaped_pid);
    screen_.draw(fleet.rows(), Clock::now() - began_);
    screen_.keep_table();
    screen_.check(awaited_ == 0, "everything that was to end has ended");
    screen_.check(fleet.heard->answers >= 4,
                  "the model server gave " + std::to_string(fleet.heard->answers) + " right answers over HTTP");
    screen_.check(proof::has_left(grandchild, fleet.escape.pid()),
                  "the grandchild has left: " + proof::place_of(grandchild) + ", and runs on");
}

/// Stops what is left, all at the same time, while the table goes on.
StopsInWords Demo::stop(Fleet& fleet) {
    screen_.heading("Stopping the rest, all at once");
    const auto began = Clock::now();
    StopsInWords stops;
    bool clean = true;
    std::size_t left = 3;
    for (warden::ManagedProcess* process : {&fleet.model_server, &fleet.stubborn, &fleet.escape}) {
        const auto stopped = [&, uuid = process->uuid()](const warden::error_code&, const warden::StopReport& report) {
            stops[uuid] = in_words(report);
            clean = clean && report.clean();
            if (--left == 0) loop_.stop();
        };
        const bool is_server = process == &fleet.model_server;
        process->async_stop(is_server ? server_plan(fleet.heard->port) : warden::StopPlan::prompt(),
                            asio::bind_executor(loop_, stopped));
    }
    loop_.restart();
    loop_.run();
    const auto took = Clock::now() - began;
    screen_.draw(fleet.rows(), Clock::now() - began_);
    screen_.keep_table();
    screen_.check(clean, "stopped without survivors, in " + in_time(took) + ": one grace, not three");
    return stops;
}

void Demo::crash(warden::ProcessManager& manager) {
    screen_.heading("A crash of the host");
    const CrashReport report = crash_a_host(manager, marker_, scratch_.path() / "second");
    instances_.push_back(report.instance);
    for (const auto& group : {report.managed, report.helpers}) seen_.insert(seen_.end(), group.begin(), group.end());
    screen_.plain("a second host with " + std::to_string(report.managed.size()) + " processes below it " +
                  report.host.to_string());
    screen_.check(report.managed.size() >= 3 && report.all_ended && was_killed(report.host),
                  "all of them were gone " + in_time(report.took) + " after its " + std::string(kill_name));
}

/// Everything while there is a manager.
void Demo::manage() {
    warden::ManagerConfig config = warden::ManagerConfig::from_environment();
    config.data_directory = scratch_.path();
    config.log_directory.clear();
    warden::ProcessManager manager(config);
    instances_.push_back(to_string(manager.instance_id()));
    show_containment(screen_, manager.containment());
    try_a_missing_program(manager);

    std::mutex mutex;
    StopsInWords told;  // by events; nobody asked for the stop at a timeout, so nobody gets a report
    const auto subscription = manager.subscribe([&](const warden::Event& event) {
        const std::lock_guard lock(mutex);
        note_step(told, event);
    });
    {
        awaited_ = 7;  // four ends, three lines
        std::unique_ptr<Fleet> fleet;
        fleet = std::make_unique<Fleet>(manager, marker_, [&] { asio::post(loop_, [&] { on_news(*fleet); }); });
        work(*fleet);
        StopsInWords stops = stop(*fleet);
        const std::lock_guard lock(mutex);
        stops.insert(told.begin(), told.end());
        show_stops(screen_, *fleet, stops);
        show_logs(screen_, *fleet);
    }
    show_metrics(screen_, manager.metrics());
    crash(manager);
}

/// The manager is gone. What does the system say?
void Demo::prove() {
    screen_.heading("Nothing is left");
    const auto nothing = [&](const auto& found, const std::string& text) {
        screen_.check(found.empty(), found.empty() ? text : text + ": " + std::to_string(found.size()) + " are left");
    };
    screen_.check(max_marked_ >= 3, "while they ran, " + std::string(proof::scan_name) + " found " +
                                        std::to_string(max_marked_) + " " + std::string(proof::marked_name));
    nothing(proof::marked(marker_), "now the same scan finds none");
    nothing(proof::left_of(seen_),
            "of " + std::to_string(seen_.size()) + " processes that were ever seen, all are gone");
    nothing(proof::descendants(), "this program has no child, no zombie, no guardian");
    for (const std::string& instance : instances_) {
        if (const auto groups = proof::control_groups(instance)) nothing(*groups, "no control group of " + instance);
    }
    screen_.check(port_ != 0 && !proof::answers(port_), "nobody listens at port " + std::to_string(port_));
}

int Demo::run() {
    const auto& v = warden::version;
    screen_.title("warden " + std::to_string(v.major_number) + '.' + std::to_string(v.minor_number) + '.' +
                      std::to_string(v.patch_number),
                  "an orchestrator on real programs, some of them hostile");
    manage();
    prove();
    screen_.title(
        screen_.failures() == 0 ? "All of it is so." : std::to_string(screen_.failures()) + " of it is NOT so.",
        std::to_string(screen_.checks()) + " checks in " + in_time(Clock::now() - began_));
    return screen_.failures() == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
    if (const auto code = play_a_part(argc, argv)) return *code;
    if (argc == 3 && argv[1] == std::string_view(second_host_flag)) be_the_second_host(argv[2]);
    if (argc > 1) {
        std::cerr << "usage: orchestrator (no arguments; settings come from WARDEN_* variables)\n";
        return 2;
    }
    return Demo().run();
} catch (const std::exception& error) {
    std::cerr << "orchestrator: " << error.what() << '\n';
    return 1;
}
