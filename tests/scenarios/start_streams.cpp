// SPDX-License-Identifier: MIT
// Streams that the program brings itself, and what else one start may have that others have not.
#include <scenarios/output.hpp>
#include <support/lives.hpp>
#include <support/start.hpp>

#include <boost/asio/connect_pipe.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/asio/write.hpp>

#include <fstream>
#include <mutex>

#if WARDEN_OS_POSIX
#include <fcntl.h>
#include <grp.h>
#include <unistd.h>
#endif

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::Input;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

#if WARDEN_OS_POSIX
TEMPLATE_TEST_CASE("streams: pipes of Asio are the standard streams of a child, one for both outputs too", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    boost::asio::readable_pipe theirs_in(context);
    boost::asio::writable_pipe ours_in(context);
    boost::asio::connect_pipe(theirs_in, ours_in);
    boost::asio::readable_pipe ours_out(context);
    boost::asio::writable_pipe theirs_out(context);
    boost::asio::connect_pipe(ours_out, theirs_out);
    SpawnOptions options;
    options.stdin_ = Input::from_native(theirs_in);
    options.stdout_ = options.stderr_ = Output::to_native(theirs_out);
    auto process = manager->spawn(play("echo", "err", " and err", "exit", "3"), options);
    theirs_in.close();
    theirs_out.close();
    boost::asio::write(ours_in, boost::asio::buffer(std::string_view("through Asio")));
    ours_in.close();
    std::string seen;
    warden::error_code ec;
    boost::asio::read(ours_out, boost::asio::dynamic_buffer(seen), ec);
    CHECK(seen == "through Asio and err");
    CHECK(process.wait().code() == 3);
}

TEMPLATE_TEST_CASE("streams: an open descriptor of the program goes to a child and stays the program's", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto path = manager.directory.write("file", "0123456789");
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(::lseek(fd, 4, SEEK_SET) == 4);
    SpawnOptions options;
    options.stdin_ = Input::from_native(fd);
    CHECK(manager->run(play("echo"), options).out == "456789");
    CHECK(::fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(::close(fd) == 0);
    const auto error = failed_start(*manager, play("echo"), options);
    CHECK(error.step() == warden::SpawnStep::descriptors);
    CHECK(error.code() == boost::system::errc::bad_file_descriptor);
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("words: an inherited PWD follows the working directory", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    ::setenv("PWD", "/", 1);
    SpawnOptions options;
    options.working_directory = manager.directory.path();
    const auto variables = [&] { return split(manager->run({"env"}, options).out, '\n'); };
    CHECK(has(variables(), "PWD=" + manager.directory.path().string()));
    options.environment.set("PWD", "/mine");
    CHECK(has(variables(), "PWD=/mine"));
}

TEMPLATE_TEST_CASE("identity: supplementary groups are those that were chosen", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root may choose groups");
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.identity.groups = {"4", "27"};
    const auto seen = manager->run({"id", "-G"}, options);
    CHECK(seen.out.ends_with(" 4 27\n"));
    options.identity.groups = {"no-such-group-here"};
    CHECK(failed_start(*manager, {"id", "-G"}, options).code() == errc::invalid_options);
}

TEMPLATE_TEST_CASE("words: a program may see another name than its own as its first word", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.argument_zero = "another name";
    CHECK(manager->run({"/bin/sh", "-c", "echo $0"}, options).out == "another name\n");
}
#endif

TEMPLATE_TEST_CASE("output: a file can be appended to", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto path = manager.directory.write("file", "before ");
    SpawnOptions options;
    options.stdout_ = options.stderr_ = Output::append_to(path);
    CHECK(manager->run(play("out", "first "), options).status.success());
    CHECK(manager->run(play("out", "second"), options).status.success());
    CHECK(text_of(path) == "before first second");
    options.stdout_ = Output::to_file(path);
    CHECK(manager->run(play("out", "alone"), options).status.success());
    CHECK(text_of(path) == "alone");
}

TEMPLATE_TEST_CASE("output: each stream may have a bound of its own", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stderr_capture_bytes = 3;
    const auto result = manager->run(play("out", "0123456789", "err", "0123456789"), options);
    CHECK(result.out == "0123456789");
    CHECK(result.err.size() == 3);
    CHECK(result.truncated);
}

TEMPLATE_TEST_CASE("output: each process may have its own time for output after its exit", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 60s; }};
    SpawnOptions options;
    options.drain_timeout = 10ms;
    const auto result = manager->run(play("leave", "stay"), options);
    CHECK(result.incomplete);
    CHECK(result.duration < 30s);
}

TEMPLATE_TEST_CASE("stop: the reason that was given comes back in the report and in the event", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::mutex mutex;
    std::string told;
    const auto subscription = manager->subscribe([&](const warden::Event& event) {
        if (event.kind != warden::EventKind::stop) return;
        const std::lock_guard lock(mutex);
        for (const auto& [key, value] : event.attributes) {
            if (key == "warden.stop.because") told = std::get<std::string>(value);
        }
    });
    auto process = manager->spawn(play("stay"));
    const auto report = process.stop(StopPlan::now().because("a newer version is here"));
    CHECK(report.reason == "a newer version is here");
    CHECK(process.info().last_stop->reason == report.reason);
    CHECK(eventually([&] {
        const std::lock_guard lock(mutex);
        return told == report.reason;
    }));
}

#if WARDEN_OS_LINUX
TEMPLATE_TEST_CASE("handles: of a member of a tree executable, directory and environment are told", "[handles]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.environment.set("SEEN_MEMBER", "yes");
    options.working_directory = manager.directory.path();
    options.stdout_ = Output::capture;
    auto process = manager->spawn(play("out", "ready\n", "stay"), options);
    REQUIRE(next_line(process) == "ready");
    const auto details = process.inspect(process.pid());
    CHECK_FALSE(details.error);
    CHECK(std::filesystem::equivalent(details.executable, play("x").program()));
    CHECK(std::filesystem::equivalent(details.directory, manager.directory.path()));
    CHECK(has(details.environment, "SEEN_MEMBER=yes"));
    CHECK(process.inspect(1).error == errc::not_found);
    CHECK(process.stop().clean());
    CHECK(process.inspect(process.pid()).error == errc::not_found);
}
#endif

TEMPLATE_TEST_CASE("streams: a file of one's own takes the output that is captured and logged too, all of it",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto path = manager.directory.write("own", "from before\n");
    SpawnOptions options;
    options.stdout_ = Output::to_file(path) | Output::capture | Output::log;
    options.stderr_ = Output::append_to(path) | Output::capture;
    options.log.limits = {.max_lines = 1'000'000, .max_chars = 10'000'000};
    auto process = manager->spawn(play("count", "200000", "err", "at the end\n"), options);
    const auto result = process.communicate();
    CHECK(result.success());
    CHECK(result.out.size() == 1'288'895);
    CHECK(text_of(path).size() == result.out.size() + result.err.size());
    CHECK(text_of(path).find(result.out.substr(0, 1000)) == 0);
    CHECK(text_of(path).find("at the end\n") != std::string::npos);
    CHECK(text_of(process.log_path()) == result.out);
    options.stdout_ = Output::append_to(path) | Output::inherit;
    options.stderr_ = Output::null;
    const auto before = text_of(path);
    CHECK(manager->run(play("out", "more"), options).success());
    CHECK(text_of(path) == before + "more");
}

TEMPLATE_TEST_CASE("streams: a file that cannot be opened beside a capture fails the start by its name", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = Output::capture | Output::to_file(manager.directory / "missing" / "file");
    const auto error = failed_start(*manager, play(), options);
    CHECK(error.step() == warden::SpawnStep::output_file);
    CHECK(error.path() == manager.directory / "missing" / "file");
}
