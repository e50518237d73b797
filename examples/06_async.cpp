// SPDX-License-Identifier: MIT
// Waiting without a thread: a handle completes any Asio token. Here coroutines wait for three processes at once.
//
//   06_async                          three naps at the same time
//   06_async sh -c 'sleep 1; date'    any command of yours, three times

#include <warden/warden.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace asio = boost::asio;

asio::awaitable<int> nurse(int number, std::vector<std::string> words) {
    warden::ManagedProcess process = warden::ProcessManager::instance().spawn(words);
    const warden::ExitStatus status = co_await process.async_wait(asio::use_awaitable);  // on the caller's loop
    std::cout << "process " << number << ' ' << status.to_string() << '\n';
    co_return status.exited() ? status.code() : 128 + status.signal();
}

int main(int argc, char** argv) try {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"sleep", "0.2"};

    asio::io_context loop;  // yours; the manager has its own
    int worst = 0;
    std::exception_ptr trouble;
    for (int number = 1; number <= 3; ++number) {
        asio::co_spawn(loop, nurse(number, words), [&](std::exception_ptr thrown, int code) {
            if (thrown) trouble = thrown;
            worst = std::max(worst, code);
        });
    }
    loop.run();
    if (trouble) std::rethrow_exception(trouble);
    std::cout << "all three have ended\n";
    return worst;
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
