// SPDX-License-Identifier: MIT
// The runner on Windows: a temporary directory of its own, skips counted and printed.
#define CATCH_CONFIG_RUNNER
#include <support/catch.hpp>
#include <support/skip.hpp>

#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <io.h>
#include <windows.h>

namespace {

constexpr int all_skipped = 77;
std::size_t skips = 0;

}  // namespace

void support::note_skip(const std::string& reason) {
    ++skips;
    std::cerr << "SKIPPED: " << reason << std::endl;
}

std::size_t support::skip_count() { return skips; }

int main(int argc, char* argv[]) {
    ::_setmode(1, _O_BINARY);  // CTest reads the names of the cases from here
    Catch::Session session;
    if (const int code = session.applyCommandLine(argc, argv); code != 0) return code;
    const auto directory =
        std::filesystem::temp_directory_path() / ("warden-tests-" + std::to_string(::GetCurrentProcessId()));
    std::filesystem::create_directories(directory);
    ::SetEnvironmentVariableW(L"TMP", directory.c_str());
    ::SetEnvironmentVariableW(L"TEMP", directory.c_str());
    const int code = session.run();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    if (skips > 0) std::cerr << "skipped: " << skips << " cases\n";
    return code == 0 && skips > 0 ? all_skipped : code;
}
