// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/logs/stream_mark.hpp>

#include <cstdint>
#include <string>
#include <string_view>

using namespace warden::detail;

namespace {

std::string printed(const StreamMark& mark) {
    MarkText text{};
    const std::size_t size = print_mark(mark, text);
    return {text.data(), size};
}

StreamMark parsed(std::string_view text) {
    MarkText mark{};
    text.copy(mark.data(), mark.size() - 1);
    return parse_mark(mark);
}

}  // namespace

TEST_CASE("stream mark: what was written down is read again") {
    constexpr std::uint64_t most = UINT64_MAX;
    for (const StreamMark mark : {StreamMark{1, 0}, StreamMark{0xABCD, 17, 5}, StreamMark{most, most, most - 1},
                                  StreamMark{most, most}, StreamMark{1, 2, 0}}) {
        CHECK(parsed(printed(mark)) == mark);
    }
    CHECK(printed({0xABCD, 17}) == "000000000000abcd 17");
    CHECK(printed({0xABCD, 17, 5}) == "000000000000abcd 17 5");
}

TEST_CASE("stream mark: what is no mark is an empty one") {
    for (const char* text : {"", " ", "x", "12", "zz 5", "12 x", "-"}) {
        INFO(text);
        CHECK_FALSE(parsed(text));
    }
    CHECK(parsed("12 5 x") == StreamMark{0x12, 5});
}
