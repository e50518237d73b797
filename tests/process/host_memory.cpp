// SPDX-License-Identifier: MIT
// What becomes of the memory of a large program whose helpers are forked from it.
#include <support/fixture.hpp>
#include <warden/detail/launch/fork_helper_linux.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
namespace detail = warden::detail;

namespace {

constexpr std::size_t map_bytes = std::size_t{4} << 20;
constexpr std::size_t step = 4096;

/// A map, each of whose pages begins with `mark`.
class Pages {
public:
    explicit Pages(int flags, int file = -1, std::size_t bytes = map_bytes) : bytes_(bytes) {
        memory_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
        REQUIRE(memory_ != MAP_FAILED);
        write();
    }
    Pages(const Pages&) = delete;
    ~Pages() { ::munmap(memory_, bytes_); }

    void write() {
        for (std::size_t i = 0; i < bytes_; i += step) at(i) = mark;
    }
    /// Moves the pages as a realloc(3) of another thread does.
    void move(std::size_t bytes) {
        memory_ = ::mremap(memory_, bytes_, bytes, MREMAP_MAYMOVE);
        bytes_ = bytes;
    }
    [[nodiscard]] bool are_whole() const {
        for (std::size_t i = 0; i < bytes_; i += step) {
            if (static_cast<const volatile char*>(memory_)[i] != mark) return false;
        }
        return true;
    }
    [[nodiscard]] void* memory() const { return memory_; }

private:
    static constexpr char mark = 'w';
    volatile char& at(std::size_t i) { return static_cast<volatile char*>(memory_)[i]; }
    void* memory_;
    std::size_t bytes_;
};

/// Whether `holds()` is true in a copy of this program made by fork(2).
template <class Holds>
bool is_true_in_fork(Holds holds) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(20);
        ::_exit(holds() ? 0 : 1);
    }
    int status = -1;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return pid > 0 && status == 0;
}

/// What `holds()` is in a helper.
template <class Holds>
bool is_true_in_helper(Holds holds) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const detail::UniqueFd here(ends[0]);
    detail::UniqueFd there(ends[1]);
    const int to = there.get();
    const detail::Cloned helper = detail::fork_apart([&holds, to]() WARDEN_IN_CHILD {
        const char answer = holds() ? 1 : 0;
        detail::raw(SYS_write, to, &answer, 1L);
        detail::exit_in_child(0);
    });
    REQUIRE(helper.error == 0);
    const detail::UniqueFd process(helper.pidfd);
    there.reset();
    char answer = 2;
    CHECK(::read(here.get(), &answer, 1) == 1);
    CHECK(::waitpid(helper.pid, nullptr, __WALL) == helper.pid);
    return answer == 1;
}

}  // namespace

TEST_CASE("host: a helper has neither a copy of the program's large maps nor makes the program copy them", "[host]") {
    SKIP_UNLESS(!WARDEN_HAS_ASAN && !WARDEN_HAS_TSAN, "the memory of a sanitizer cannot be told from the program's");
    Pages data(MAP_PRIVATE | MAP_ANONYMOUS);
    CHECK_FALSE(is_true_in_helper([&data] { return data.are_whole(); }));
    CHECK(data.are_whole());
}

TEST_CASE("host: a thread that forks while helpers are forked has all memory in its copy", "[host]") {
    Pages data(MAP_PRIVATE | MAP_ANONYMOUS);
    std::atomic<bool> over{false};
    std::thread helpers([&over] {
        while (!over) static_cast<void>(is_true_in_helper([] { return true; }));
    });
    constexpr int rounds = 300;
    int whole = 0;
    for (int i = 0; i < rounds; ++i) whole += is_true_in_fork([&data] { return data.are_whole(); }) ? 1 : 0;
    over = true;
    helpers.join();
    CHECK(whole == rounds);
}

TEST_CASE("host: a copy made after a helper was forked has memory of every kind", "[host]") {
    std::FILE* const file = std::tmpfile();
    REQUIRE(file);
    REQUIRE(::ftruncate(::fileno(file), map_bytes) == 0);
    constexpr std::size_t huge_bytes = std::size_t{8} << 20;
    Pages plain(MAP_PRIVATE | MAP_ANONYMOUS);
    Pages shared(MAP_SHARED | MAP_ANONYMOUS);
    Pages of_file(MAP_SHARED, ::fileno(file));
    Pages copied(MAP_PRIVATE, ::fileno(file));
    Pages locked(MAP_PRIVATE | MAP_ANONYMOUS);
    static_cast<void>(::mlock(locked.memory(), map_bytes));  // where it is allowed
    Pages huge(MAP_PRIVATE | MAP_ANONYMOUS, -1, huge_bytes);
    static_cast<void>(::madvise(huge.memory(), huge_bytes, MADV_HUGEPAGE));
    huge.write();
    std::vector<char> heap(map_bytes, 'h');
    bool whole = false;
    std::thread on_its_own_stack([&] {
        char stack[std::size_t{2} << 20];
        std::memset(stack, 's', sizeof stack);
        const bool made = is_true_in_helper([] { return true; });
        whole = made && is_true_in_fork([&] {
                    const auto all = [](const char* text, std::size_t size, char c) {
                        return std::all_of(text, text + size, [c](char x) { return x == c; });
                    };
                    return plain.are_whole() && shared.are_whole() && of_file.are_whole() && copied.are_whole() &&
                           locked.are_whole() && huge.are_whole() && all(heap.data(), heap.size(), 'h') &&
                           all(stack, sizeof stack, 's');
                });
    });
    on_its_own_stack.join();
    CHECK(whole);
    std::fclose(file);
}

TEST_CASE("host: memory that another thread moves or extends while a helper is forked is in later copies", "[host]") {
    for (const std::size_t bytes : {map_bytes, 3 * map_bytes, map_bytes / 8}) {
        Pages moved(MAP_PRIVATE | MAP_ANONYMOUS);
        {
            const detail::MapsEmptyInFork meanwhile;
            moved.move(bytes);
            Pages in_its_way(MAP_PRIVATE | MAP_ANONYMOUS);
            moved.move(3 * bytes);
        }
        moved.write();
        CHECK(is_true_in_fork([&moved] { return moved.are_whole(); }));
    }
}

TEST_CASE("host: a helper is forked though a thread waits within fork(2) for what the program holds", "[host]") {
    std::unique_lock lock(detail::fork_gate);  // as that thread has it
    const auto began = std::chrono::steady_clock::now();
    bool made = false;
    std::thread maker([&made] { made = is_true_in_helper([] { return true; }); });
    maker.join();
    CHECK(made);
    CHECK(std::chrono::steady_clock::now() - began < 10s);
}
