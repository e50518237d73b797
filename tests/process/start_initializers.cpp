// SPDX-License-Identifier: MIT
// SPN-7: what initializers of Boost.Process v2 may do on POSIX systems alone.
#include <support/fixture.hpp>
#include <support/initializers.hpp>
#include <support/start.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#include <boost/process/v2/posix/bind_fd.hpp>
#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/stdio.hpp>

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <unistd.h>

using namespace support;
using warden::errc;
using warden::SpawnOptions;
using warden::SpawnStep;
namespace process2 = boost::process::v2;

TEST_CASE("initializers: process_stdio with null devices leaves the child three descriptors", "[start]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    const auto path = manager.directory / "out";
    auto process =
        manager->spawn(victim("fds"), {}, process2::process_stdio{nullptr, BoostPath(path.string()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(path) == "0 /dev/null\n1 " + path.string() + "\n2 /dev/null\n");
}

TEST_CASE("initializers: a process_start_dir that is missing fails the start as ENOENT", "[start]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    const std::string missing = (manager.directory / "missing").string();
    const auto error =
        error_of([&] { return manager->spawn(victim("cwd"), {}, process2::process_start_dir(missing)); });
    CHECK(error.code().value() == ENOENT);
    CHECK(error.step() == SpawnStep::launch);
}

TEST_CASE("initializers: bind_fd passes a descriptor under another number, and no other", "[start]") {
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

TEST_CASE("initializers: one that refuses in the child fails the start with its own code", "[start]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{warden::Mechanism::cgroup};
    std::vector<std::string> told;
    const auto refusal = system_code(EXDEV);
    const auto error = error_of([&] { return manager->spawn(victim("exit", "0"), {}, Witness{&told, {}, refusal}); });
    CHECK(error.code() == refusal);
    CHECK(told == std::vector<std::string>{"setup", "error " + std::to_string(EXDEV)});
    CHECK(manager->metrics().spawned_total == 0);
    CHECK(manager->run(victim("exit", "0")).success());
}

TEST_CASE("initializers: a mechanism without a direct launch refuses them", "[start]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    TestManager manager{warden::Mechanism::keeper};
    const auto error = error_of([&] { return manager->spawn(victim("cwd"), {}, process2::process_start_dir("/")); });
    CHECK(error.code() == errc::containment_unavailable);
    CHECK(error.step() == SpawnStep::containment);
    CHECK(names(error, "initializers"));
}
