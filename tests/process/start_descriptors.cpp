// SPDX-License-Identifier: MIT
// A child has exactly the descriptors that were asked for, whatever the program holds; and the program keeps its own.
#include <support/fixture.hpp>

#include <cerrno>
#include <set>

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using warden::Input;
using warden::Output;
using warden::SpawnOptions;

namespace {

/// The numbers of the descriptors in what `victim fds` says.
std::vector<std::string> numbers(const std::string& listing) {
    std::vector<std::string> found;
    for (const auto& line : split(listing, '\n')) found.push_back(line.substr(0, line.find(' ')));
    return found;
}
const std::vector<std::string> only_stdio{"0", "1", "2"};

std::string target(int fd) {
    char text[4096] = {};
    return ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), text, sizeof text - 1) < 0 ? "" : text;
}

std::set<int> open_numbers() {
    std::set<int> found;
    for (int fd = 0; fd < 4096; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) found.insert(fd);
    }
    return found;
}

/// Descriptors of all kinds on the numbers `first` to `last`, half of them open over exec. Whatever was there is
/// replaced.
void fill(int first, int last) {
    const int pipe_end = [] {
        int ends[2];
        return ::pipe(ends) == 0 ? ends[1] : -1;
    }();
    const int kinds[] = {::open("/dev/null", O_RDWR), ::socket(AF_UNIX, SOCK_STREAM, 0), ::epoll_create1(0),
                         ::memfd_create("test", 0), pipe_end};
    for (int fd = first; fd <= last; ++fd) {
        const int kind = kinds[fd % 5];
        if (std::find(std::begin(kinds), std::end(kinds), fd) != std::end(kinds)) continue;
        ::dup3(kind, fd, fd % 2 == 0 ? O_CLOEXEC : 0);
    }
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += word + ' ';
    return text;
}

}  // namespace

TEMPLATE_TEST_CASE("descriptors: a child has 0, 1 and 2 and nothing else of a program that has a hundred open",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        fill(3, 100);  // before the manager, so that guardian and keepers had them too
        TestManager manager{TestType::mechanism};
        fill(200, 300);
        for (const auto& input : {Input(Input::null), Input(Input::pipe)}) {
            SpawnOptions options;
            options.stdin_ = input;
            const auto seen = numbers(manager->run(victim("fds"), options).out);
            check.that(seen == only_stdio, "the child has " + joined(seen));
        }
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("descriptors: those above a limit that was lowered later are closed too", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        fill(300, 320);
        const struct rlimit low { 100, 100 };
        check.that(::setrlimit(RLIMIT_NOFILE, &low) == 0, "a limit of 100");
        warden::error_code ec;
        const auto result = manager->run(victim("fds"), {}, {}, ec);
        check.that(!ec, "it starts: " + ec.message());
        check.that(numbers(result.out) == only_stdio, "the child has " + result.out);
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE(
    "descriptors: a program without 0, 1 or 2 starts children that have them, and warden takes none of the three",
    "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (int closed = 1; closed < 8; ++closed) {
        const std::string failures = in_subprocess([closed](Checks& check) {
            for (int fd = 0; fd < 3; ++fd) {
                if ((closed & 1 << fd) != 0) ::close(fd);
            }
            TestManager manager{TestType::mechanism};
            const auto result = manager->run(victim("fds"));
            check.that(numbers(result.out) == only_stdio, "the child has " + result.out);
            check.that(result.out.find("0 /dev/null\n") == 0, "its input is the null device: " + result.out);
            check.that(manager->run(victim("echo"), {}, "round trip").out == "round trip", "input and output work");
            check.that(manager->run(victim("echo"), {}, "round trip").err == "round trip", "so does stderr");
            {
                auto logged = manager->spawn(victim("lines", "3"));
                static_cast<void>(logged.wait());
                check.that(eventually([&] { return logged.tail(3).size() == 3; }), "a log works");
                SpawnOptions inherit;
                inherit.stdin_ = Input::inherit;
                inherit.stdout_ = Output::inherit;
                inherit.stderr_ = Output::to_file(manager.directory / "fds");
                static_cast<void>(manager->run(victim("lines", "0"), inherit));
                for (int fd = 0; fd < 3; ++fd) {
                    const std::string now = target(fd);  // the null device, to keep it occupied, harms nobody
                    if ((closed & 1 << fd) != 0)
                        check.that(now.empty() || now == "/dev/null", std::to_string(fd) + " has become " + now);
                }
            }
        });
        INFO("closed: " << (closed & 1 ? "0 " : "") << (closed & 2 ? "1 " : "") << (closed & 4 ? "2" : ""));
        CHECK(failures == "");
    }
}

TEMPLATE_TEST_CASE("descriptors: what a closed 0, 1 or 2 would inherit is the null device, not something of warden's",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    const std::string failures = in_subprocess([&](Checks& check) {
        ::close(0);
        ::close(1);
        TestManager manager{TestType::mechanism};
        SpawnOptions options;
        options.stdin_ = Input::inherit;
        options.stdout_ = Output::inherit;
        options.stderr_ = Output::capture;
        const auto listing = place / "listing";
        static_cast<void>(manager->run(victim("fds", listing), options));
        const std::string seen = read_file(listing);
        check.that(seen.find("0 /dev/null\n1 /dev/null\n2 pipe:") == 0, "the child has\n" + seen);
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("descriptors: inherited streams are the program's own, in every combination with others", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    const std::string failures = in_subprocess([&](Checks& check) {
        for (const auto& [fd, name] : {std::pair(0, "in"), std::pair(1, "out"), std::pair(2, "err")}) {
            const int file = ::open((place / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            ::dup2(file, fd);
            ::close(file);
        }
        TestManager manager{TestType::mechanism};
        for (int inherited = 0; inherited < 8; ++inherited) {
            SpawnOptions options;
            if ((inherited & 1) != 0) options.stdin_ = Input::inherit;
            options.stdout_ = (inherited & 2) != 0 ? Output::inherit : Output::null;
            options.stderr_ = (inherited & 4) != 0 ? Output::inherit : Output::null;
            const auto listing = place / "listing";
            static_cast<void>(manager->run(victim("fds", listing), options));
            const auto path = [&](int bit, const char* name) {
                return (inherited & bit) != 0 ? (place / name).string() : "/dev/null";
            };
            const std::string wanted = "0 " + path(1, "in") + "\n1 " + path(2, "out") + "\n2 " + path(4, "err") + '\n';
            check.that(read_file(listing) == wanted, "it should be\n" + wanted + "and is\n" + read_file(listing));
        }
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("descriptors: output is read in a program that has two thousand open", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    struct rlimit limit {};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    SKIP_UNLESS(limit.rlim_max >= 3000, "the limit of open files is below 3000");
    const std::string failures = in_subprocess([](Checks& check) {
        const struct rlimit high { 3000, 3000 };
        ::setrlimit(RLIMIT_NOFILE, &high);
        for (int i = 0; i < 2000; ++i) ::fcntl(2, F_DUPFD, 3);
        TestManager manager{TestType::mechanism};
        check.that(manager->run(victim("echo"), {}, "round trip").out == "round trip", "capture works");
        check.that(numbers(manager->run(victim("fds")).out) == only_stdio, "the child has three");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("descriptors: the program's own streams stay blocking after a child has inherited them", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        int in[2];
        int out[2];
        if (!check.that(::pipe(in) == 0 && ::pipe(out) == 0, "pipes")) return;
        ::dup2(in[0], 0);
        ::dup2(out[1], 1);
        ::dup2(out[1], 2);
        TestManager manager{TestType::mechanism};
        for (const auto& output : {Output(Output::inherit), Output::inherit | Output::capture}) {
            SpawnOptions options;
            options.stdin_ = Input::inherit;
            options.stdout_ = output;
            options.stderr_ = output;
            static_cast<void>(manager->run(victim("unterminated"), options));
            for (int fd = 0; fd < 3; ++fd)
                check.that((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0, std::to_string(fd) + " blocks");
        }
        char text[256] = {};
        check.that(eventually([&] {
                       struct pollfd ready {
                           out[0], POLLIN, 0
                       };
                       const auto size = std::char_traits<char>::length(text);
                       if (::poll(&ready, 1, 0) == 1)
                           static_cast<void>(!::read(out[0], text + size, sizeof text - 1 - size));
                       const std::string_view seen(text);
                       return seen.find("stdout") != seen.rfind("stdout");
                   }),
                   std::string("both copies arrive: ") + text);
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("descriptors: they are closed also without /proc and without close_range", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root can take /proc away");
    const std::string failures = in_subprocess([](Checks& check) {
        if (!check.that(::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0,
                        "mounts of its own"))
            return;
        const struct rlimit limit { 2048, 2048 };
        ::setrlimit(RLIMIT_NOFILE, &limit);
        if (!check.that(deny_system_calls({SYS_close_range}, EPERM), "a filter")) return;
        TestManager manager{TestType::mechanism};
        fill(200, 240);
        if (TestType::mechanism == warden::Mechanism::cgroup) {  // a keeper cannot do without
            check.that(::umount2("/proc", MNT_DETACH) == 0, "no /proc");
        }
        warden::error_code ec;
        const auto result = manager->run(victim("probe-fds"), {}, {}, ec);
        check.that(!ec && result.out == " 0 1 2", "the child has" + result.out + ' ' + ec.message());
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("descriptors: everything that warden opens is closed by an exec of the program's own", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::set<int> before = open_numbers();
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdin_ = Input::pipe;
    auto process = manager->spawn(victim("echo"), options);
    auto logged = manager->spawn(victim("stay"));
    for (const int fd : open_numbers()) {
        if (before.count(fd) != 0) continue;
        const int flags = ::fcntl(fd, F_GETFD);
        INFO(fd << " is " << target(fd));
        CHECK((flags < 0 || (flags & FD_CLOEXEC) != 0));
    }
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t stranger = ::fork();
    if (stranger == 0) {
        ::dup2(ends[1], 1);
        ::execl(WARDEN_TEST_VICTIM, "victim", "probe-fds", nullptr);
        ::_exit(127);
    }
    ::close(ends[1]);
    std::string seen(4096, '\0');
    const ssize_t size = ::read(ends[0], seen.data(), seen.size());
    ::close(ends[0]);
    CHECK(::waitpid(stranger, nullptr, 0) == stranger);
    REQUIRE(size > 0);
    seen.resize(static_cast<std::size_t>(size));
    for (const auto& word : split(seen.substr(1), ' ')) CHECK(before.count(std::stoi(word)) == 1);
}
