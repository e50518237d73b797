// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/base/function_ref.hpp>
#include <warden/detail/base/job.hpp>

#include <array>
#include <memory>
#include <string>
#include <utility>

using namespace warden::detail;

namespace {

/// Counts those of its kind that are alive.
template <std::size_t Bytes, bool MoveMayThrow = false>
struct Counted {
    explicit Counted(int& count) : alive(&count) { ++*alive; }
    Counted(Counted&& other) noexcept(!MoveMayThrow) : alive(other.alive) { ++*alive; }
    Counted(const Counted&) = delete;
    ~Counted() { --*alive; }
    int operator()() const { return *alive; }
    int* alive;
    std::array<char, Bytes> ballast{};
};

template <class Callable>
void check_ownership() {
    int alive = 0;
    {
        UniqueFunction<int()> f = Callable(alive);
        CHECK(f() == 1);
        UniqueFunction<int()> g = std::move(f);
        CHECK_FALSE(f);  // NOLINT(bugprone-use-after-move)
        CHECK(g() == 1);
        f = std::move(g);
        CHECK(f() == 1);
        f = Callable(alive);
        CHECK(f() == 1);
        f = nullptr;
        CHECK(alive == 0);
        f = Callable(alive);
    }
    CHECK(alive == 0);
}

}  // namespace

TEST_CASE("unique function: moves, replaces and destroys what it holds, inline or not, exactly once") {
    check_ownership<Counted<1>>();
    check_ownership<Counted<40>>();
    check_ownership<Counted<41>>();
    check_ownership<Counted<500>>();
    check_ownership<Counted<1, true>>();
}

TEST_CASE("unique function: passes arguments and results on, also those that can only be moved") {
    UniqueFunction<std::unique_ptr<int>(std::unique_ptr<int>, int&)> f = [](std::unique_ptr<int> p, int& n) {
        n = *p + 1;
        return p;
    };
    int n = 0;
    CHECK(*f(std::make_unique<int>(41), n) == 41);
    CHECK(n == 42);
    std::string text;
    Job job = [&text] { text += "x"; };
    job();
    job();
    CHECK(text == "xx");
}

TEST_CASE("unique function: what it held is destroyed after it has taken its new value") {
    struct Owner {
        UniqueFunction<int()> f;
    };
    auto owner = std::make_shared<Owner>();
    Owner& held = *owner;
    held.f = [owner] { return 1; };
    owner = nullptr;
    held.f = nullptr;  // ends the owner itself
    SUCCEED();
}

TEST_CASE("function reference: calls the callable itself") {
    int calls = 0;
    auto count = [&calls](int by) { return calls += by; };
    const FunctionRef<int(int)> ref = count;
    const FunctionRef<int(int)> copy = ref;  // NOLINT(performance-unnecessary-copy-initialization)
    CHECK(ref(2) == 2);
    CHECK(copy(3) == 5);
    const auto use = [](FunctionRef<int(int)> f) { return f(1); };
    CHECK(use([](int by) { return by * 7; }) == 7);
}
