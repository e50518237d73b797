// SPDX-License-Identifier: MIT
// The code of Asio and of warden for all test programs, compiled once.
#include <warden/src.hpp>

#include <boost/asio/impl/src.hpp>
