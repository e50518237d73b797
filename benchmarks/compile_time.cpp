// SPDX-License-Identifier: MIT
//
// What a translation unit costs that includes warden, beside one that includes the parts of Boost that a program with
// pipes and Boost.Process needs anyway.
//
//   compile_time COMPILER INCLUDE_DIRECTORY [--rounds 3]

#include "bench.hpp"

#include <array>
#include <utility>

namespace {

using bench::text;

struct Unit {
    std::string name;
    std::string source;
};

const std::vector<Unit> units{
    {"nothing", "int main() {}\n"},
    {"the standard library's part of it",
     "#include <chrono>\n#include <filesystem>\n#include <functional>\n#include <map>\n#include <memory>\n#include "
     "<mutex>\n"
     "#include <optional>\n#include <string>\n#include <thread>\n#include <vector>\nint main() {}\n"},
    {"Boost: Asio's pipes, Process v2",
     "#include <boost/asio/io_context.hpp>\n#include <boost/asio/read.hpp>\n#include <boost/asio/readable_pipe.hpp>\n"
     "#include <boost/asio/steady_timer.hpp>\n#include <boost/process/v2/process.hpp>\n#include "
     "<boost/process/v2/stdio.hpp>\n"
     "int main() {\n    boost::asio::io_context context;\n    boost::asio::readable_pipe out(context);\n"
     "    boost::process::v2::process child(context, \"/bin/true\", {}, boost::process::v2::process_stdio{nullptr, "
     "out, {}});\n"
     "    return child.wait();\n}\n"},
    {"Boost: all of Asio, Process v2",
     "#include <boost/asio.hpp>\n#include <boost/process/v2/process.hpp>\n#include <boost/process/v2/stdio.hpp>\nint "
     "main() {}\n"},
    {"warden/manager_config.hpp (words only)",
     "#include <warden/manager_config.hpp>\nint main() { warden::ManagerConfig config; }\n"},
    {"warden/warden.hpp",
     "#include <warden/warden.hpp>\nint main() {\n    return "
     "warden::ProcessManager::instance().run({\"true\"}).status.code();\n}\n"},
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) bench::die("usage: compile_time COMPILER INCLUDE_DIRECTORY [--rounds 3]");
    const std::size_t rounds = bench::number(argc, argv, "--rounds", 3);
    const bench::TemporaryFolder folder;
    const std::vector<std::string> common{argv[1], "-std=c++20", "-isystem", argv[2]};
    const std::array<std::vector<std::string>, 2> modes{
        {{"-fsyntax-only"}, {"-O0", "-c", "-o", (folder.path() / "unit.o").string()}}};

    std::vector<std::array<std::vector<double>, 2>> seconds(units.size());
    std::vector<std::uintmax_t> object_bytes(units.size());
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::size_t u = 0; u < units.size(); ++u) {
            const auto source = folder.path() / "unit.cpp";
            std::ofstream(source) << units[u].source;
            for (std::size_t m = 0; m < modes.size(); ++m) {
                auto words = common;
                words.insert(words.end(), modes[m].begin(), modes[m].end());
                words.push_back(source.string());
                double cpu = 0;
                if (bench::wait_for(bench::start(words, -1, -1, STDERR_FILENO), &cpu) != 0)
                    bench::die("cannot compile: " + units[u].name);
                seconds[u][m].push_back(cpu);
            }
            object_bytes[u] = std::filesystem::file_size(folder.path() / "unit.o");
        }
        std::cerr << "bench: compile_time: round " << round + 1 << " of " << rounds << '\n';
    }
    std::cout << "### Compile time of one translation unit\n\nCPU seconds, median of " << rounds << ".\n\n";
    bench::heading({"includes", "-fsyntax-only", "-O0 -c", "object, KiB"});
    for (std::size_t u = 0; u < units.size(); ++u) {
        bench::row({units[u].name, text(bench::median(seconds[u][0])), text(bench::median(seconds[u][1])),
                    std::to_string(object_bytes[u] >> 10)});
    }
    std::cout << std::endl;
    return 0;
}
