// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A move-only callable of any type behind one type, in place of `std::function` below detail/.
///
/// Knows:         that the program pays for every function that a callable makes the compiler emit: a trivial callable
///                has one (its call), any other two (its call, and its move and destruction).
/// Thread-safety: distinct objects: safe.
/// Allocates:     only for a callable of more than `inline_bytes`, or one whose move may throw.

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace warden::detail {

template <class Signature>
class UniqueFunction;

/// Holds a callable or nothing. Calling an empty one is undefined; a constant one calls what it holds as not constant.
/// Moving from one leaves it empty.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
public:
    static constexpr std::size_t inline_bytes = 48;

    UniqueFunction() noexcept = default;
    UniqueFunction(std::nullptr_t) noexcept {}  // NOLINT(*-explicit-*)
    template <class F>
    requires(!std::is_same_v<F, UniqueFunction> && std::is_invocable_r_v<R, F&, Args...>)
        UniqueFunction(F callable) {  // NOLINT(*-explicit-*)
        if constexpr (is_stored_inline<F>) {
            ::new (static_cast<void*>(place_)) F(static_cast<F&&>(callable));
            invoke_ = [](void* place, Args... args) -> R {
                return (*static_cast<F*>(place))(static_cast<Args&&>(args)...);
            };
            if constexpr (!std::is_trivially_copyable_v<F> || !std::is_trivially_destructible_v<F>) {
                manage_ = [](void* to, void* from) noexcept {
                    if (to) ::new (to) F(static_cast<F&&>(*static_cast<F*>(from)));
                    static_cast<F*>(from)->~F();
                };
            }
        } else {
            F* const held = new F(static_cast<F&&>(callable));
            std::memcpy(place_, &held, sizeof held);
            invoke_ = [](void* place, Args... args) -> R {
                return (**static_cast<F**>(place))(static_cast<Args&&>(args)...);
            };
            manage_ = [](void* to, void* from) noexcept {
                if (to) std::memcpy(to, from, sizeof(F*));
                else delete *static_cast<F**>(from);
            };
        }
    }
    UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this == &other) return *this;
        UniqueFunction former;  // destroyed last: what it holds may own this object
        former.take(*this);
        take(other);
        return *this;
    }
    ~UniqueFunction() {
        if (manage_) manage_(nullptr, place_);
    }

    explicit operator bool() const noexcept { return invoke_ != nullptr; }

    R operator()(Args... args) const { return invoke_(place_, static_cast<Args&&>(args)...); }

private:
    template <class F>
    static constexpr bool is_stored_inline =
        sizeof(F) <= inline_bytes && alignof(F) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<F>;

    /// This one is empty.
    void take(UniqueFunction& other) noexcept {
        if (other.manage_) other.manage_(place_, other.place_);
        else std::memcpy(place_, other.place_, inline_bytes);
        invoke_ = std::exchange(other.invoke_, nullptr);
        manage_ = std::exchange(other.manage_, nullptr);
    }

    alignas(std::max_align_t) mutable std::byte place_[inline_bytes]{};
    R (*invoke_)(void* place, Args... args) = nullptr;
    void (*manage_)(void* to, void* from) noexcept = nullptr;  ///< Moves, or destroys if `to` is null. Null: trivial.
};

}  // namespace warden::detail
