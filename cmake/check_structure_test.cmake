# The check must pass a clean tree, and must name each kind of violation in a tree that has only that one.
#   cmake -D SCRATCH=<folder> -P check_structure_test.cmake
cmake_minimum_required(VERSION 3.25)

set(top "// SPDX-License-Identifier: MIT\n#pragma once\n")
set(card "/// @file\n/// A card.\n")
string(REPEAT "//\n" 400 many_lines)
string(REPEAT "    call();\n" 59 long_body)
string(REPEAT "        call();\n" 59 longer_body)
string(REPEAT "a\n" 151 long_map)

# Writes the clean tree, replaces one header in it, runs the check.
function(check path text)
    file(REMOVE_RECURSE ${SCRATCH})
    file(WRITE ${SCRATCH}/include/warden/platform.hpp "${top}${card}#if defined(__linux__)\n#endif\n")
    file(WRITE ${SCRATCH}/include/warden/command_line.hpp "${top}${card}#include <warden/platform.hpp>\n")
    file(WRITE ${SCRATCH}/include/warden/detail/launch/boost_process_posix.hpp
        "${top}${card}#if WARDEN_OS_POSIX\n#include <sys/wait.h>\n#include <boost/process/v2/process.hpp>\n#endif\n")
    file(WRITE ${SCRATCH}/include/warden/detail/launch/launcher.hpp
        "${top}${card}#include <warden/detail/launch/boost_process_posix.hpp>\n")
    file(WRITE ${SCRATCH}/include/warden/warden.hpp "${top}#include <warden/command_line.hpp>\n")
    if(path)
        file(WRITE ${SCRATCH}/include/warden/${path} "${text}")
    endif()
    execute_process(
        COMMAND ${CMAKE_COMMAND} -D ROOT=${SCRATCH} -P ${CMAKE_CURRENT_LIST_DIR}/check_structure.cmake
        RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
    set(code "${code}" PARENT_SCOPE)
    set(output "${output}" PARENT_SCOPE)
endfunction()

function(expect_fault path line complaint text)
    check(${path} "${text}")
    string(FIND "${output}" "include/warden/${path}:${line}: ${complaint}" found)
    if(code EQUAL 0 OR found EQUAL -1 OR NOT output MATCHES "structure: 1 violations")
        message(SEND_ERROR "${path}: expected only the fault `:${line}: ${complaint}`, got (${code}):\n${output}")
    else()
        message("found: ${path}:${line}: ${complaint}")
    endif()
endfunction()

check("" "")
if(NOT code EQUAL 0)
    message(SEND_ERROR "the clean tree does not pass:\n${output}")
endif()

expect_fault(garage.hpp 1 "is in no room" "${top}${card}")
expect_fault(detail/garage/car.hpp 1 "is in no room" "${top}${card}")
expect_fault(notes.txt 1 "only headers" "notes\n")
expect_fault(command_line.hpp 5 "in `words` includes <warden/detail/launch/boost_process_posix.hpp> of `detail/launch`"
    "${top}${card}#include <warden/detail/launch/boost_process_posix.hpp>\n")
expect_fault(detail/containment/reaper.hpp 5 "in `detail/containment` includes <warden/warden.hpp> of `top`"
    "${top}${card}#include <warden/warden.hpp>\n")
expect_fault(command_line.hpp 6 "includes <warden/missing.hpp>, which" "${top}${card}\n#include <warden/missing.hpp>\n")
expect_fault(command_line.hpp 5 "includes \"platform.hpp\"" "${top}${card}#include \"platform.hpp\"\n")
expect_fault(command_line.hpp 5 "in `words` includes Asio" "${top}${card}#include <boost/asio/post.hpp>\n")
expect_fault(detail/engine/reaper.hpp 5 "opens Boost.Process" "${top}${card}#include <boost/process/v2.hpp>\n")
expect_fault(detail/engine/reaper.hpp 5 "includes <sys/wait.h> of one system" "${top}${card}#include <sys/wait.h>\n")
expect_fault(detail/engine/reaper_posix.hpp 5 "begins before `#if WARDEN_OS_POSIX`"
    "${top}${card}namespace warden {\n#if WARDEN_OS_POSIX\n#endif\n}\n")
expect_fault(detail/engine/reaper_portable.hpp 6 "begins before `#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX`"
    "${top}${card}#if WARDEN_OS_POSIX\nnamespace warden {}\n#endif\n")
expect_fault(detail/containment/pidfd_linux.hpp 6 "reads __linux__"
    "${top}${card}#if WARDEN_OS_LINUX\n#ifdef __linux__\n#endif\n#endif\n")
expect_fault(detail/engine/reaper.hpp 6 "reads _WIN32" "${top}${card}\n#if 1 && defined(_WIN32)\n#endif\n")
expect_fault(error.hpp 1 "the first line is not" "#pragma once\n${card}")
expect_fault(error.hpp 1 "has no `#pragma once`" "// SPDX-License-Identifier: MIT\n${card}")
expect_fault(error.hpp 1 "has no card" "${top}")
expect_fault(error.hpp 404 "has 404 lines" "${top}${card}${many_lines}")
expect_fault(error.hpp 5 "a function of 61 lines" "${top}${card}inline void f() {\n${long_body}}\n")
expect_fault(error.hpp 6 "a function of 61 lines" "${top}${card}class X {\n    void f() {\n${longer_body}    }\n};\n")
expect_fault(README.md 2 "names detail/attic/, which does not exist" "A map of `warden.hpp`,\nand of `detail/attic/`.\n")
expect_fault(README.md 151 "has 151 lines" "${long_map}")
