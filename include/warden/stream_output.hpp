// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `std::cout << status`: the names of enumerators, and what says itself in words.
///
/// Knows:         `to_string`. Does not know: streams; <iosfwd> is enough here, and whoever writes to one includes it.
/// Thread-safety: that of the stream.

#include <concepts>
#include <iosfwd>
#include <string>
#include <string_view>
#include <type_traits>

namespace warden {
namespace detail {

template <class T>
concept Named = std::is_enum_v<T> && requires(T value) {
    { to_string(value) } -> std::same_as<std::string_view>;
};

template <class T>
concept Worded = std::is_class_v<T> && requires(const T& value) {
    { value.to_string() } -> std::same_as<std::string>;
};

}  // namespace detail

/// Writes the name of an enumerator, as it stands in events.
template <class Traits, detail::Named T>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& to, T value) {
    return to << to_string(value);
}

/// Writes the words of a status or a command.
template <class Traits, detail::Worded T>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& to, const T& value) {
    return to << value.to_string();
}

}  // namespace warden
