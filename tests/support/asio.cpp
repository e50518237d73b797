// SPDX-License-Identifier: MIT
// Asio's functions for all test programs, compiled once (BOOST_ASIO_SEPARATE_COMPILATION).
#include <boost/asio/impl/src.hpp>
