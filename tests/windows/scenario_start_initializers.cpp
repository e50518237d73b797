// SPDX-License-Identifier: MIT
// Initializers of Boost.Process v2 have their say in a start.
#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/stdio.hpp>

#include <windows/scenario_start.hpp>

using namespace support;
using warden::errc;
using warden::SpawnOptions;
using warden::SpawnStep;
namespace process2 = boost::process::v2;

namespace {

using Launcher = process2::windows::default_launcher;
using BoostPath = process2::filesystem::path;

/// Notes what it is told, and can refuse.
struct Witness {
    std::vector<std::string>* told;
    warden::error_code refusal{};

    warden::error_code on_setup(Launcher&, const BoostPath&, const std::wstring&) {
        told->push_back("setup");
        return refusal;
    }
    void on_success(Launcher& launcher, const BoostPath&, const std::wstring&) {
        told->push_back("success " + std::to_string(launcher.process_information.dwProcessId));
    }
    void on_error(Launcher&, const BoostPath&, const std::wstring&, const warden::error_code& ec) {
        told->push_back("error " + std::to_string(ec.value()));
    }
};

template <class F>
warden::SpawnError error_of(F start) {
    try {
        const auto process = start();
    } catch (const warden::SpawnError& error) {
        return error;
    }
    FAIL("it started");
    throw std::logic_error("not reached");
}

}  // namespace

TEST_CASE("scenario: process_stdio reads input from a file and sends output to one", "[scenario]") {
    TestManager manager;
    const auto in = write_file(manager.directory / "in", "what is in the file");
    const auto out = manager.directory / "out";
    auto process = manager->spawn(victim("stdin-to-stdout"), {},
                                  process2::process_stdio{BoostPath(in.native()), BoostPath(out.native()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(out) == "what is in the file");
}

TEST_CASE("scenario: process_stdio with null devices leaves the child its three streams", "[scenario]") {
    TestManager manager;
    const auto out = manager.directory / "out";
    auto process =
        manager->spawn(victim("streams"), {}, process2::process_stdio{nullptr, BoostPath(out.native()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(out) == "char\ndisk\nchar\n");
}

TEST_CASE("scenario: process_start_dir is the working directory", "[scenario]") {
    TestManager manager;
    const auto place = manager.directory.path();
    SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    auto process = manager->spawn(victim("cwd"), options, process2::process_start_dir(BoostPath(place.native())));
    const auto seen = lines_of(process.communicate().out);
    REQUIRE(seen.size() == 1);
    CHECK(std::filesystem::equivalent(seen[0], place));

    const auto error = error_of([&] {
        return manager->spawn(victim("cwd"), {}, process2::process_start_dir(BoostPath((place / "missing").native())));
    });
    INFO(error.what());
    CHECK(error.code());
    CHECK(error.step() != SpawnStep::executable);
}

TEST_CASE("scenario: initializers are told of setup and success, with the pid", "[scenario]") {
    TestManager manager;
    std::vector<std::string> told;
    auto process = manager->spawn(victim("exit", "0"), {}, Witness{&told});
    CHECK(told == std::vector<std::string>{"setup", "success " + std::to_string(process.pid())});
    CHECK(process.wait().success());
}

TEST_CASE("scenario: an initializer that refuses fails the start with its own code, and nothing runs", "[scenario]") {
    TestManager manager;
    std::vector<std::string> told;
    const auto error = error_of([&] {
        return manager->spawn(victim("exit", "0"), {}, Witness{&told, windows_code(ERROR_BUSY)});
    });
    CHECK(error.code() == windows_code(ERROR_BUSY));
    CHECK(error.step() == SpawnStep::launch);
    CHECK(told == std::vector<std::string>{"setup", "error " + std::to_string(ERROR_BUSY)});
    CHECK(manager->metrics().spawned_total == 0);
    CHECK(manager->run(victim("exit", "0")).success());
}
