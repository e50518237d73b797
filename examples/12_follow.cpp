// SPDX-License-Identifier: MIT
// Following a log while it is written, rotated and compacted; what was gone before it could be read is said.
//
//   12_follow                 a process of this program that counts to 20000 into a small log
//   12_follow FILE            any log, of any program, until nothing comes for ten seconds

#include <warden/warden.hpp>

#include <cstdint>
#include <iostream>
#include <string>

int main(int argc, char** argv) try {
    using namespace std::chrono_literals;
    warden::ManagedProcess counter;
    if (argc < 2) {
        counter =
            warden::ProcessManager::instance().spawn({"sh", "-c", "read go; seq 20000; echo done"},
                                                     {.name = "counter",
                                                      .stdin_ = warden::Input::pipe,
                                                      .log = {.limits = {.max_lines = 1000, .max_chars = 100'000}},
                                                      .timeout = 1min});
    }
    warden::LogFollower log = counter ? warden::ProcessManager::instance().follow("counter")
                                      : warden::LogFollower::open(argv[1], warden::LogFollower::From::end);
    if (counter) counter.write("go\n");  // nothing is gone before the follower looks
    std::uint64_t lines = 0;
    std::uint64_t bytes = 0;
    while (const auto line = log.next(10s)) {
        if (line->gap && argc > 1) std::cout << "... " << line->gap_bytes << " bytes were gone\n";
        if (argc > 1) std::cout << line->text << std::endl;
        ++lines;
        bytes += line->gap_bytes + line->text.size() + (line->partial ? 0 : 1);
        if (counter && line->text == "done") break;
    }
    std::cout << lines << " lines were seen; with what was gone before that, " << bytes << " bytes were written\n";
    return 0;
} catch (const warden::system_error& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
