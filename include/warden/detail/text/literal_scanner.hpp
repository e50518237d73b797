// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Finds many literals in one pass over a text (Aho and Corasick, 1975).
///
/// Knows:         bytes.
/// Does not know: lines, what the literals are for.
/// Thread-safety: never changed once it is made.
/// Allocates:     when made.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// Which of many literals are in a text: a deterministic automaton, one step a byte, that skips what begins none.
class LiteralScanner {
public:
    using State = std::uint32_t;

    /// Of all literals together; a byte takes up to a kilobyte of the automaton.
    static constexpr std::size_t max_bytes = std::size_t{64} << 10;

    LiteralScanner() = default;
    /// Literals are not empty; each comes with the number that stands for it.
    explicit LiteralScanner(const std::vector<std::pair<std::string_view, std::size_t>>& literals);

    [[nodiscard]] bool empty() const noexcept { return next_.empty(); }

    /// Calls `on_hit(state)` where a literal ends, until it returns true; then returns the place after it, else null.
    template <class OnHit>
    const char* scan(std::string_view text, OnHit on_hit) const;

    /// Calls `use(number)` for the literals that end where the scanner was in `state`.
    template <class Use>
    void for_each(State state, Use use) const;

private:
    [[nodiscard]] std::size_t class_of(char byte) const noexcept { return classes_[static_cast<unsigned char>(byte)]; }
    [[nodiscard]] const char* skip(const char* at, const char* end) const noexcept;
    void note_beginning(char first, char second) noexcept;

    // A state is the place of its row in `next_`; 0 is the root, those from `first_hit_` on are ends of literals.
    std::array<std::uint16_t, 256> classes_{};  // bytes that no literal has are all of class 0
    std::size_t class_count_ = 1;
    State first_hit_ = 0;
    std::vector<State> next_;
    std::vector<std::vector<std::size_t>> hits_;  // of the rows from `first_hit_` on
    std::vector<std::uint64_t> beginnings_;       // one bit for each pair of bytes: whether a literal begins so
};

// -- implementation ----------------------------------------------------------

inline LiteralScanner::LiteralScanner(const std::vector<std::pair<std::string_view, std::size_t>>& literals) {
    if (literals.empty()) return;
    for (const auto& [text, number] : literals) {
        for (const char byte : text) {
            auto& its_class = classes_[static_cast<unsigned char>(byte)];
            if (its_class == 0) its_class = static_cast<std::uint16_t>(class_count_++);
        }
    }
    // The tree of all beginnings. Node 0 is the root, and, where a child is missing, a stand-in for it.
    std::vector<std::vector<std::uint32_t>> tree(1, std::vector<std::uint32_t>(class_count_));
    std::vector<std::vector<std::size_t>> ends(1);
    beginnings_.resize((std::size_t{1} << 16) / 64);
    for (const auto& [text, number] : literals) {
        std::uint32_t node = 0;
        for (const char byte : text) {
            std::uint32_t child = tree[node][class_of(byte)];
            if (child == 0) {
                child = tree[node][class_of(byte)] = static_cast<std::uint32_t>(tree.size());
                tree.emplace_back(class_count_);
                ends.emplace_back();
            }
            node = child;
        }
        ends[node].push_back(number);
        if (text.size() > 1) note_beginning(text[0], text[1]);
        for (int second = 0; text.size() == 1 && second < 256; ++second)
            note_beginning(text[0], static_cast<char>(second));
    }
    // Breadth first: where a node has no child, it goes on as its longest proper suffix in the tree does.
    std::vector<std::uint32_t> suffix(tree.size());
    std::vector<std::uint32_t> order{0};
    for (std::size_t i = 0; i < order.size(); ++i) {
        const std::uint32_t node = order[i];
        for (std::size_t c = 0; c < class_count_; ++c) {
            const std::uint32_t elsewhere = node == 0 ? 0 : tree[suffix[node]][c];
            std::uint32_t& child = tree[node][c];
            if (child == 0) {
                child = elsewhere;
                continue;
            }
            suffix[child] = elsewhere;
            ends[child].insert(ends[child].end(), ends[elsewhere].begin(), ends[elsewhere].end());
            order.push_back(child);
        }
    }
    // Into one table, the hits last.
    std::stable_partition(order.begin(), order.end(), [&](std::uint32_t node) { return ends[node].empty(); });
    std::vector<State> state(tree.size());
    for (std::size_t i = 0; i < order.size(); ++i) state[order[i]] = static_cast<State>(i * class_count_);
    next_.reserve(tree.size() * class_count_);
    for (const std::uint32_t node : order) {
        for (const std::uint32_t child : tree[node]) next_.push_back(state[child]);
        if (!ends[node].empty()) hits_.push_back(std::move(ends[node]));
    }
    first_hit_ = static_cast<State>((order.size() - hits_.size()) * class_count_);
}

inline std::size_t pair_at(const char* bytes) noexcept {
    std::uint16_t pair;
    std::memcpy(&pair, bytes, sizeof pair);
    return pair;
}

inline void LiteralScanner::note_beginning(char first, char second) noexcept {
    const std::array<char, 2> bytes{first, second};
    const std::size_t pair = pair_at(bytes.data());
    beginnings_[pair / 64] |= std::uint64_t{1} << (pair % 64);
}

/// The next place where a literal may begin; the last byte is not judged.
inline const char* LiteralScanner::skip(const char* at, const char* end) const noexcept {
    const std::uint64_t* beginnings = beginnings_.data();
    for (; end - at > 1; ++at) {
        const std::size_t pair = pair_at(at);
        if ((beginnings[pair / 64] >> (pair % 64) & 1) != 0) break;
    }
    return at;
}

template <class OnHit>
const char* LiteralScanner::scan(std::string_view text, OnHit on_hit) const {
    const char* at = text.data();
    const char* const end = at + text.size();
    const State* const next = next_.data();
    if (empty()) return nullptr;
    while ((at = skip(at, end)) != end) {
        State state = 0;
        do {
            state = next[state + class_of(*at++)];
            if (state >= first_hit_ && on_hit(state)) return at;
        } while (state != 0 && at != end);
    }
    return nullptr;
}

template <class Use>
void LiteralScanner::for_each(State state, Use use) const {
    for (const std::size_t number : hits_[(state - first_hit_) / class_count_]) use(number);
}

}  // namespace warden::detail
