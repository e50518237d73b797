// SPDX-License-Identifier: MIT
// SPN-7: initializers of Boost.Process v2 pass through to a direct launch.
#include <support/fixture.hpp>
#include <warden/detail/unique_handle.hpp>

#include <boost/process/v2/posix/bind_fd.hpp>
#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/stdio.hpp>

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <unistd.h>

using namespace support;
using warden::errc;
using warden::SpawnError;
using warden::SpawnOptions;
using warden::SpawnStep;
namespace process2 = boost::process::v2;

namespace {

using Launcher = process2::posix::default_launcher;
using BoostPath = process2::filesystem::path;

/// Notes what it is told, and can refuse.
struct Witness {
    std::vector<std::string>* told;
    int refuse_setup = 0;
    int refuse_exec = 0;

    template <class Path>
    warden::error_code on_setup(Launcher&, const Path&, const char* const*) {
        told->push_back("setup");
        return {refuse_setup, boost::system::system_category()};
    }
    template <class Path>
    warden::error_code on_exec_setup(Launcher&, const Path&, const char* const*) {
        return {refuse_exec, boost::system::system_category()};
    }
    template <class Path>
    void on_success(Launcher& launcher, const Path&, const char* const*) {
        told->push_back("success " + std::to_string(launcher.pid));
    }
    template <class Path>
    void on_error(Launcher&, const Path&, const char* const*, const warden::error_code& ec) {
        told->push_back("error " + std::to_string(ec.value()));
    }
};

template <class F>
SpawnError error_of(F start) {
    try {
        const auto process = start();
    } catch (const SpawnError& error) {
        return error;
    }
    FAIL("it started");
    throw std::logic_error("not reached");
}

}  // namespace

TEST_CASE("initializers: process_stdio sends output to a file", "[start][SPN-7]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    const auto path = manager.directory / "out";
    auto process = manager->spawn(victim("both-streams", "2"), {},
                                  process2::process_stdio{nullptr, BoostPath(path.string()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(path) == "out 1\nout 2\n");
}

TEST_CASE("initializers: process_stdio with null devices leaves the child three descriptors", "[start][SPN-7]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    const auto path = manager.directory / "out";
    auto process =
        manager->spawn(victim("fds"), {}, process2::process_stdio{nullptr, BoostPath(path.string()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(path) == "0 /dev/null\n1 " + path.string() + "\n2 /dev/null\n");
}

TEST_CASE("initializers: process_stdio reads its input from a file", "[start][SPN-7]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    const auto in = manager.directory.write("in", "what is in the file");
    const auto out = manager.directory / "out";
    auto process = manager->spawn(victim("echo"), {},
                                  process2::process_stdio{BoostPath(in.string()), BoostPath(out.string()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(out) == "what is in the file");
}

TEST_CASE("initializers: process_start_dir is the working directory", "[start][SPN-7]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    const std::string place = std::filesystem::canonical(manager.directory.path()).string();
    SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    auto process = manager->spawn(victim("cwd"), options, process2::process_start_dir(place));
    CHECK(process.communicate().out == place);

    const auto error =
        error_of([&] { return manager->spawn(victim("cwd"), {}, process2::process_start_dir(place + "/missing")); });
    CHECK(error.code().value() == ENOENT);
    CHECK(error.step() == SpawnStep::launch);
}

TEST_CASE("initializers: bind_fd passes a descriptor under another number, and no other", "[start][SPN-7][C06]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    const auto path = manager.directory.write("words", "through the descriptor");
    const warden::detail::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(file);
    SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    auto listing = manager->spawn(victim("fds"), options, process2::posix::bind_fd(42, file.get()));
    const auto seen = split(listing.communicate().out, '\n');
    CHECK(seen.size() == 4);
    CHECK(seen.back() == "42 " + path.string());
    auto reading =
        manager->spawn(warden::CommandLine::shell("cat <&9"), options, process2::posix::bind_fd(9, file.get()));
    CHECK(reading.communicate().out == "through the descriptor");
    CHECK((::fcntl(file.get(), F_GETFD) & FD_CLOEXEC) != 0);  // as it was
}

TEST_CASE("initializers: they are told of setup and success, with the pid", "[start][SPN-7]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    std::vector<std::string> told;
    auto process = manager->spawn(victim("exit", "0"), {}, Witness{&told});
    CHECK(told == std::vector<std::string>{"setup", "success " + std::to_string(process.pid())});
    CHECK(process.wait().success());
}

TEST_CASE("initializers: one that refuses fails the start with its own code, and nothing runs", "[start][SPN-7]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    std::vector<std::string> told;
    const auto before = error_of([&] { return manager->spawn(victim("exit", "0"), {}, Witness{&told, EBUSY, 0}); });
    CHECK(before.code().value() == EBUSY);
    CHECK(before.step() == SpawnStep::launch);

    told.clear();
    const auto in_child = error_of([&] { return manager->spawn(victim("exit", "0"), {}, Witness{&told, 0, EXDEV}); });
    CHECK(in_child.code().value() == EXDEV);
    CHECK(told == std::vector<std::string>{"setup", "error " + std::to_string(EXDEV)});
    CHECK(manager->metrics().spawned_total == 0);
    CHECK(manager->run(victim("exit", "0")).success());
}

TEST_CASE("initializers: a mechanism without a direct launch refuses them", "[start][SPN-7]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    TestManager manager{warden::Mechanism::keeper};
    const auto error = error_of([&] { return manager->spawn(victim("cwd"), {}, process2::process_start_dir("/")); });
    CHECK(error.code() == errc::containment_unavailable);
    CHECK(error.step() == SpawnStep::containment);
    CHECK(std::string(error.what()).find("initializers") != std::string::npos);
}
