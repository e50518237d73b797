// SPDX-License-Identifier: MIT
// The child of the tests that say the same of every system: does one order after the other, and then ends with 0.
//
//     player out "x
//     " exit 3

#include "system.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

namespace player {
namespace {

/// The words, from the order that is being done on.
struct Orders {
    const Words& words;
    std::size_t at = 0;

    const std::string& take() { return words.at(at++); }
    unsigned long long number() { return std::stoull(take()); }
    std::filesystem::path path() {
        const std::string& word = take();
        return std::u8string(word.begin(), word.end());
    }
};

/// `make(i)` for 1 to `count`, in large writes.
template <class Make>
void put_many(unsigned long long count, Make make) {
    std::string text;
    for (unsigned long long i = 1; i <= count; ++i) {
        text += make(i);
        if (text.size() >= 1 << 15 || i == count) put(Stream::out, std::exchange(text, {}));
    }
}

/// Gives what comes in to `take`, a block at a time, until its end or until that has enough.
template <class Take>
void read_blocks(std::size_t size, Take take) {
    for (std::string text = read_input(size); !text.empty() && take(text);) text = read_input(size);
}

/// What is in a file, `block` bytes at a time.
void put_file(const std::filesystem::path& path, std::size_t block) {
    std::ifstream file(path, std::ios::binary);
    std::string buffer(block, '\0');
    while (file.read(buffer.data(), static_cast<std::streamsize>(block)) || file.gcount() > 0)
        put(Stream::out, {buffer.data(), static_cast<std::size_t>(file.gcount())});
}

const std::map<std::string_view, void (*)(Orders&)> orders_known{
    {"out", [](Orders& o) { put(Stream::out, o.take()); }},
    {"err", [](Orders& o) { put(Stream::err, o.take()); }},
    {"pid", [](Orders&) { put(Stream::out, std::to_string(own_pid()) + '\n'); }},
    {"read", [](Orders&) { read_blocks(1, [](const auto& text) { return text != "\n"; }); }},  // a line
    {"line",  // reads a line and says it
     [](Orders&) { read_blocks(1, [](const auto& text) { return put(Stream::out, text), text != "\n"; }); }},
    {"echo", [](Orders&) { read_blocks(1 << 16, [](const auto& text) { return put(Stream::out, text), true; }); }},
    {"tee",
     [](Orders&) {
         read_blocks(1 << 16, [](const auto& text) {
             put(Stream::out, text);
             put(Stream::err, text);
             return true;
         });
     }},
    {"count", [](Orders& o) { put_many(o.number(), [](auto i) { return std::to_string(i) + '\n'; }); }},
    {"again",  // the same text, so many times
     [](Orders& o) {
         const auto times = o.number();
         put_many(times, [&text = o.take()](auto) { return text; });
     }},
    {"bytes",  // so many, each written for itself
     [](Orders& o) {
         for (auto left = o.number(); left > 0; --left) put(Stream::out, "x");
     }},
    {"both",  // lines to both streams in turn
     [](Orders& o) {
         const auto last = o.number();
         for (unsigned long long i = 1; i <= last; ++i) {
             put(Stream::out, "out " + std::to_string(i) + '\n');
             put(Stream::err, "err " + std::to_string(i) + '\n');
         }
     }},
    {"args",  // all that follow, each with a NUL
     [](Orders& o) {
         std::string text;
         while (o.at < o.words.size()) (text += o.take()) += '\0';
         put(Stream::out, text);
     }},
    {"env", [](Orders&) { put(Stream::out, environment()); }},
    {"handles", [](Orders&) { put(Stream::out, std::to_string(handle_count()) + '\n'); }},
    {"cwd",
     [](Orders&) {
         const auto path = std::filesystem::current_path().u8string();
         put(Stream::out, std::string(path.begin(), path.end()));
     }},
    {"file", [](Orders& o) { put_file(o.path(), 1 << 16); }},
    {"file-by-byte", [](Orders& o) { put_file(o.path(), 1); }},
    {"append",
     [](Orders& o) {
         const auto& path = o.take();
         append(path, o.take());
     }},
    {"rename",
     [](Orders& o) {
         const auto from = o.path();
         std::filesystem::rename(from, o.path());
     }},
    {"close", [](Orders&) { close_output(); }},
    {"close-input", [](Orders&) { close_input(); }},
    {"variable",
     [](Orders& o) {
         const char* const value = std::getenv(o.take().c_str());
         put(Stream::out, value ? value : "");
     }},
    {"ignore", [](Orders&) { ignore_requests(); }},
    {"away", [](Orders&) { go_away(); }},  // from its group, or console
    {"crash", [](Orders&) { crash(); }},
    {"beside",  // another, with our streams, does so many of the words that follow
     [](Orders& o) {
         const auto first = o.words.begin() + static_cast<std::ptrdiff_t>(o.at + 1);
         const auto count = static_cast<std::ptrdiff_t>(o.number());
         start({first, first + count});
         o.at += static_cast<std::size_t>(count);
     }},
    {"await", [](Orders& o) { await(o.take()); }},
    {"leave",
     [](Orders& o) {
         start({o.words.begin() + static_cast<std::ptrdiff_t>(o.at), o.words.end()});
         end(0);
     }},
    {"stay", [](Orders&) { stay(); }},
    {"exit", [](Orders& o) { end(o.number()); }},
};

}  // namespace

int play(const Words& words) {
    for (Orders orders{words}; orders.at < words.size();) {
        const auto order = orders_known.find(orders.take());
        if (order == orders_known.end()) return 64;
        order->second(orders);
    }
    return 0;
}

}  // namespace player
