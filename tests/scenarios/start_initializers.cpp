// SPDX-License-Identifier: MIT
// SPN-7: initializers of Boost.Process v2 have their say in a direct launch.
#include <support/initializers.hpp>
#include <support/start.hpp>

#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/stdio.hpp>

#include <cerrno>

using namespace support;
using warden::SpawnOptions;
using warden::SpawnStep;
namespace process2 = boost::process::v2;

namespace {

#if WARDEN_OS_WINDOWS
#define DIRECT_MECHANISMS OnJobObject
const auto busy = system_code(170);  // ERROR_BUSY
const std::vector<std::string> told_of_refusal{"setup", "error 170"};
#else
#define DIRECT_MECHANISMS OnCgroup, OnProcessGroup
const auto busy = system_code(EBUSY);
const std::vector<std::string> told_of_refusal{"setup"};
#endif

}  // namespace

TEMPLATE_TEST_CASE("initializers: process_stdio sends output to a file", "[start]", DIRECT_MECHANISMS) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto out = manager.directory / "out";
    auto process =
        manager->spawn(play("both", "2"), {}, process2::process_stdio{nullptr, BoostPath(out.native()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(out) == "out 1\nout 2\n");
}

TEMPLATE_TEST_CASE("initializers: process_stdio reads its input from a file", "[start]", DIRECT_MECHANISMS) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto in = manager.directory.write("in", "what is in the file");
    const auto out = manager.directory / "out";
    auto process = manager->spawn(play("echo"), {},
                                  process2::process_stdio{BoostPath(in.native()), BoostPath(out.native()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(out) == "what is in the file");
}

TEMPLATE_TEST_CASE("initializers: process_start_dir is the working directory", "[start]", DIRECT_MECHANISMS) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto place = manager.directory.path();
    SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    auto process = manager->spawn(play("cwd"), options, process2::process_start_dir(BoostPath(place.native())));
    CHECK(std::filesystem::equivalent(process.communicate().out, place));

    const auto error = error_of([&] {
        return manager->spawn(play("cwd"), {}, process2::process_start_dir(BoostPath((place / "missing").native())));
    });
    INFO(error.what());
    CHECK(error.code());
    CHECK(error.step() != SpawnStep::executable);
}

TEMPLATE_TEST_CASE("initializers: they are told of setup and success, with the pid", "[start]", DIRECT_MECHANISMS) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> told;
    auto process = manager->spawn(play("exit", "0"), {}, Witness{&told});
    CHECK(told == std::vector<std::string>{"setup", "success " + std::to_string(process.pid())});
    CHECK(process.wait().success());
}

TEMPLATE_TEST_CASE("initializers: one that refuses fails the start with its own code, and nothing runs", "[start]",
                   DIRECT_MECHANISMS) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> told;
    const auto error = error_of([&] { return manager->spawn(play("exit", "0"), {}, Witness{&told, busy}); });
    CHECK(error.code() == busy);
    CHECK(error.step() == SpawnStep::launch);
    CHECK(told == told_of_refusal);
    CHECK(manager->metrics().spawned_total == 0);
    CHECK(manager->run(play("exit", "0")).success());
}

TEMPLATE_TEST_CASE("initializers: one that sets a stream which the options set too is an error", "[start]",
                   DIRECT_MECHANISMS) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto out = manager.directory / "out";
    const auto start = [&](SpawnOptions options) {
        return manager->spawn(play("exit", "0"), std::move(options),
                              process2::process_stdio{nullptr, BoostPath(out.native()), nullptr});
    };
    const auto says = [&](SpawnOptions options, std::string_view word) {
        const auto error = error_of([&] { return start(std::move(options)); });
        INFO(error.what());
        CHECK(error.code() == warden::errc::invalid_options);
        return std::string_view(error.what()).find(word) != std::string_view::npos;
    };
    CHECK(says({.stdin_ = warden::Input::pipe}, "stdin_"));
    CHECK(says({.stdout_ = warden::Output::capture}, "stdout_"));
    CHECK(says({.stderr_ = warden::Output::null}, "stderr_"));
    CHECK(manager->metrics().spawned_total == 0);
    CHECK(start({}).wait().success());
}
