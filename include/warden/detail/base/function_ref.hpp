// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A reference to a callable that outlives the call that it is passed to.
///
/// Thread-safety: as the callable.
/// Allocates:     never.

#include <type_traits>

namespace warden::detail {

template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
public:
    template <class F>
    requires(!std::is_same_v<std::remove_cv_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Args...>)
        FunctionRef(F& callable)
    noexcept  // NOLINT(*-explicit-*)
        : callable_(const_cast<void*>(static_cast<const void*>(&callable))),
          invoke_([](void* to, Args... args) -> R { return (*static_cast<F*>(to))(static_cast<Args&&>(args)...); }) {}
    template <class F>
    requires(!std::is_same_v<std::remove_cv_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Args...>)
        FunctionRef(const F&& callable)
    noexcept : FunctionRef(callable) {}  // NOLINT(*-explicit-*)

    R operator()(Args... args) const { return invoke_(callable_, static_cast<Args&&>(args)...); }

private:
    void* callable_;
    R (*invoke_)(void* callable, Args... args);
};

}  // namespace warden::detail
