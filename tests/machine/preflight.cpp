// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/supervision/preflight.hpp>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace warden;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t more_than_there_is = std::numeric_limits<std::uint64_t>::max();

struct Scratch {
    fs::path path;
    Scratch() {
        std::string name = (fs::temp_directory_path() / "warden-preflight-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    Scratch(const Scratch&) = delete;
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

/// An environment variable for the time of a test.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) {
        if (const char* before = std::getenv(name)) before_ = before;
        if (value) ::setenv(name, value, 1);
        else ::unsetenv(name);
    }
    Variable(const Variable&) = delete;
    ~Variable() {
        if (before_) ::setenv(name_, before_->c_str(), 1);
        else ::unsetenv(name_);
    }

private:
    const char* name_;
    std::optional<std::string> before_;
};

/// A TCP socket that listens at a free port.
struct Listener {
    detail::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::uint16_t port = 0;

    explicit Listener(in_addr_t address) {
        ::sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(address);
        ::socklen_t size = sizeof name;
        auto* const generic = reinterpret_cast<::sockaddr*>(&name);
        REQUIRE(::bind(fd.get(), generic, size) == 0);
        REQUIRE(::listen(fd.get(), 1) == 0);
        REQUIRE(::getsockname(fd.get(), generic, &size) == 0);
        port = ntohs(name.sin_port);
    }
};

void make_program(const fs::path& path) {
    std::ofstream(path) << "#!/bin/sh\n";
    fs::permissions(path, fs::perms::owner_all);
}

/// The message of a check that must fail, which names `what`.
std::string failure_of(const PreflightCheck& check, const std::string& what) {
    CHECK_FALSE(check.name.empty());
    const auto message = check.run();
    REQUIRE(message);
    INFO(*message);
    CHECK(message->find(what) != std::string::npos);
    CHECK(message->find(';') != std::string::npos);  // after which it says how to mend it
    return *message;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("preflight: a program is found in PATH, or by a path of its own") {
    CHECK_FALSE(preflight::executable("sh").run());
    CHECK_FALSE(preflight::executable("/bin/sh").run());
    CHECK(contains(failure_of(preflight::executable("no-such-program"), "'no-such-program'"), "install it"));
    failure_of(preflight::executable("/no/such/program"), "/no/such/program");
    failure_of(preflight::executable("/tmp"), "/tmp");
    failure_of(preflight::executable("/dev/null"), "chmod +x");
    failure_of(preflight::executable(""), "''");
}

TEST_CASE("preflight: PATH is searched as a start does it: directories and empty elements are passed over") {
    const Scratch scratch;
    fs::create_directories(scratch.path / "a/tool");
    fs::create_directories(scratch.path / "b");
    const std::string both = (scratch.path / "a").string() + "::" + (scratch.path / "b").string();
    const Variable path("PATH", both.c_str());
    failure_of(preflight::executable("tool"), "'tool' is in no directory of PATH");
    std::ofstream(scratch.path / "b/tool") << "#!/bin/sh\n";
    failure_of(preflight::executable("tool"), (scratch.path / "b/tool").string() + "' may not be executed");
    make_program(scratch.path / "b/tool");
    CHECK_FALSE(preflight::executable("tool").run());

    make_program(scratch.path / "here");
    const fs::path before = fs::current_path();
    fs::current_path(scratch.path);
    const auto in_working_directory = preflight::executable("here").run();
    fs::current_path(before);
    CHECK(in_working_directory);
}

TEST_CASE("preflight: without a PATH, only a path finds a program") {
    const Variable path("PATH", nullptr);
    failure_of(preflight::executable("sh"), "PATH is not set");
    CHECK_FALSE(preflight::executable("/bin/sh").run());
}

TEST_CASE("preflight: a file is anything but a directory, and may come after the check was made") {
    const Scratch scratch;
    const auto check = preflight::file_exists(scratch.path / "model.bin");
    failure_of(check, "model.bin");
    std::ofstream(scratch.path / "model.bin") << "x";
    CHECK_FALSE(check.run());
    CHECK_FALSE(preflight::file_exists("/dev/null").run());
    CHECK(contains(failure_of(preflight::file_exists(scratch.path), scratch.path.string()), "is a directory"));
    fs::create_symlink("nowhere", scratch.path / "link");
    failure_of(preflight::file_exists(scratch.path / "link"), "link");
}

TEST_CASE("preflight: a directory is there and can be written to") {
    const Scratch scratch;
    CHECK_FALSE(preflight::directory_writable(scratch.path).run());
    CHECK(fs::is_empty(scratch.path));
    CHECK(contains(failure_of(preflight::directory_writable(scratch.path / "out"), "out"), "mkdir -p"));
    failure_of(preflight::directory_writable("/dev/null"), "is not a directory");
    failure_of(preflight::directory_writable("/proc"), "/proc");  // not even root may
}

TEST_CASE("preflight: a variable is set and not empty, and its value is not told") {
    const auto check = preflight::environment_set("WARDEN_TEST_TOKEN");
    {
        const Variable unset("WARDEN_TEST_TOKEN", nullptr);
        failure_of(check, "WARDEN_TEST_TOKEN is not set");
    }
    {
        const Variable empty("WARDEN_TEST_TOKEN", "");
        failure_of(check, "WARDEN_TEST_TOKEN is empty");
    }
    const Variable set("WARDEN_TEST_TOKEN", "canary");
    CHECK_FALSE(check.run());
    CHECK_FALSE(contains(check.name, "canary"));
}

TEST_CASE("preflight: room on a disk is measured where the path will be") {
    const Scratch scratch;
    CHECK_FALSE(preflight::disk_space(scratch.path, 1).run());
    CHECK_FALSE(preflight::disk_space(scratch.path / "not/yet/there", 1).run());
    failure_of(preflight::disk_space("", 1), "correct the path");
    const std::string message = failure_of(preflight::disk_space(scratch.path / "not/yet", more_than_there_is), "free");
    CHECK(contains(message, scratch.path.string()));
    CHECK_FALSE(contains(message, "not/yet"));
}

TEST_CASE("preflight: memory is what the machine can give") {
    CHECK_FALSE(preflight::memory_available(1).run());
    CHECK(contains(failure_of(preflight::memory_available(more_than_there_is), "memory"), "are needed"));
}

TEST_CASE("preflight: a size is told in a unit that people can read") {
    CHECK(contains(preflight::memory_available(0).name, "0 bytes of"));
    CHECK(contains(preflight::memory_available(1023).name, "1023 bytes of"));
    CHECK(contains(preflight::memory_available(1024).name, "1.0 KiB"));
    CHECK(contains(preflight::memory_available(4'831'838'208).name, "4.5 GiB"));
    CHECK(contains(preflight::memory_available(std::uint64_t{1} << 50).name, "1024.0 TiB"));
    CHECK(contains(preflight::memory_available(more_than_there_is).name, "16777215.9 TiB"));
}

TEST_CASE("preflight: a port that somebody listens at is named, and free when he is gone") {
    std::optional<Listener> listener(std::in_place, INADDR_LOOPBACK);
    const auto check = preflight::port_free(listener->port);
    CHECK(contains(failure_of(check, "port " + std::to_string(listener->port) + " on 127.0.0.1"), "is in use"));
    CHECK(contains(check.name, std::to_string(listener->port)));
    listener.reset();
    CHECK_FALSE(check.run());
    CHECK_FALSE(check.run());  // the check itself holds nothing
}

TEST_CASE("preflight: a port that is listened at on all interfaces is not free on one") {
    const Listener listener(INADDR_ANY);
    failure_of(preflight::port_free(listener.port), "is in use");
    failure_of(preflight::port_free(listener.port, "0.0.0.0"), "on 0.0.0.0");
}

TEST_CASE("preflight: an address that is none is a failure, without asking a name server") {
    failure_of(preflight::port_free(3000, "example.invalid"), "'example.invalid' is no numeric address");
    failure_of(preflight::port_free(3000, "192.0.2.1"), "port 3000 on 192.0.2.1");  // RFC 5737: nobody has it
    failure_of(preflight::port_free(0), "port 0");
}

TEST_CASE("preflight: a predicate fails with its advice") {
    bool holds = false;
    const auto check = preflight::predicate(
        "the model is warm", [&] { return holds; }, "start the model first");
    CHECK(check.name == "the model is warm");
    CHECK(contains(failure_of(check, "the model is warm"), "start the model first"));
    holds = true;
    CHECK_FALSE(check.run());
    failure_of(preflight::predicate("nothing", nullptr, "give a function"), "nothing");
}
