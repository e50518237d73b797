# The rules of the house, checked over include/warden of a tree.
#   cmake -D ROOT=<repository> -P check_structure.cmake
cmake_minimum_required(VERSION 3.25)

# The floors from the ground up: a header includes only its own floor and those below it.
# A pattern is matched against the path below include/warden without `.hpp`; the first match counts.
set(floors ground words pure backend engine front supervision top)
set(rooms
    "ground       version|platform|fwd|error"
    "words        timeout|command_line|spawn_options|exit_status|process_info|lifecycle|stop_plan|containment|manager_config"
    "words        output/(alert_rules|log_format|log_limits|log_options)"
    "pure         output/.*|detail/text/.*"
    "engine       logs/.*|telemetry/.*|detail/.*"
    "front        managed_process|process_manager|impl/.*|src"
    "supervision  supervision/.*|detached/.*"
    "top          testing/.*|no_direct_spawn|warden"
)
set(card_free "warden")          # the umbrella: includes only
set(os_reader "platform")        # the one reader of the system's macros
set(process_door "detail/launch/boost_process_(posix|windows)")  # behind detail/launch/boost_process, the one door
set(asio_free ground words)      # Asio costs every unit that includes it a second or two
set(max_lines 400)

set(os_macros
    "__linux__|__linux|__gnu_linux__|_WIN32|_WIN64|__CYGWIN__|__MINGW32__|__APPLE__|__MACH__"
    "__unix__|__unix|__FreeBSD__|__NetBSD__|__OpenBSD__|__DragonFly__|__ANDROID__|BOOST_OS_[A-Z]+|BOOST_WINDOWS")
list(JOIN os_macros "|" os_macros)

get_filename_component(ROOT "${ROOT}" ABSOLUTE)
set(faults 0)
macro(fault line text)
    message("include/warden/${path}:${line}: ${text}")
    math(EXPR faults "${faults} + 1")
endmacro()

# The index of the floor on which the header `name` is, or -1.
function(find_floor name result)
    set(${result} -1 PARENT_SCOPE)
    foreach(room IN LISTS rooms)
        string(REGEX MATCH "^([a-z]+) +(.*)$" _ "${room}")
        set(floor ${CMAKE_MATCH_1})
        if(name MATCHES "^(${CMAKE_MATCH_2})$")
            list(FIND floors ${floor} index)
            set(${result} ${index} PARENT_SCOPE)
            return()
        endif()
    endforeach()
endfunction()

function(read_lines file result)
    file(READ ${file} text)
    string(REGEX REPLACE "\n$" "" text "${text}")
    string(REGEX REPLACE "[][;\\]" "?" text "${text}")  # CMake's own list syntax
    string(REPLACE "\n" ";" text "${text}")
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE paths RELATIVE ${ROOT}/include/warden ${ROOT}/include/warden/*)
if(NOT paths)
    message(FATAL_ERROR "no headers below ${ROOT}/include/warden")
endif()

foreach(path IN LISTS paths)
    if(NOT path MATCHES "^(.*)\\.hpp$")
        fault(1 "only headers named *.hpp live here")
        continue()
    endif()
    set(name ${CMAKE_MATCH_1})

    find_floor(${name} floor)
    set(floor_name "none")
    if(floor EQUAL -1)
        fault(1 "is on no floor: give it a room in cmake/check_structure.cmake")
    else()
        list(GET floors ${floor} floor_name)
    endif()

    read_lines(${ROOT}/include/warden/${path} lines)
    list(LENGTH lines length)
    if(length GREATER max_lines)
        fault(${length} "has ${length} lines; at ${max_lines} it is two headers that have not been separated yet")
    endif()
    list(GET lines 0 first)
    if(NOT first STREQUAL "// SPDX-License-Identifier: MIT")
        fault(1 "the first line is not `// SPDX-License-Identifier: MIT`")
    endif()
    if(NOT "#pragma once" IN_LIST lines)
        fault(1 "has no `#pragma once`")
    endif()
    if(NOT "/// @file" IN_LIST lines AND NOT name STREQUAL card_free)
        fault(1 "has no card (`/// @file`)")
    endif()

    set(number 0)
    foreach(line IN LISTS lines)
        math(EXPR number "${number} + 1")
        string(REGEX REPLACE "//.*" "" line "${line}")
        if(line MATCHES "^ *# *include *([<\"])([^>\"]+)")
            set(included ${CMAKE_MATCH_2})
            if(CMAKE_MATCH_1 STREQUAL "\"")
                fault(${number} "includes \"${included}\": write <warden/...>")
            elseif(included MATCHES "^warden/(.*)\\.hpp$")
                find_floor(${CMAKE_MATCH_1} other)
                if(NOT EXISTS ${ROOT}/include/${included})
                    fault(${number} "includes <${included}>, which does not exist")
                elseif(other GREATER floor AND NOT floor EQUAL -1)
                    list(GET floors ${other} other_name)
                    fault(${number} "on floor `${floor_name}` includes <${included}> from the higher floor `${other_name}`")
                endif()
            elseif(included MATCHES "^boost/process" AND NOT name MATCHES "^${process_door}$")
                fault(${number} "opens Boost.Process; only detail/launch/boost_process.hpp does, by ${process_door}.hpp")
            elseif(included MATCHES "^boost/asio" AND floor_name IN_LIST asio_free)
                fault(${number} "on floor `${floor_name}` includes Asio")
            endif()
        elseif(NOT name STREQUAL os_reader AND line MATCHES "(^|[^A-Za-z0-9_])(${os_macros})([^A-Za-z0-9_]|$)")
            fault(${number} "reads ${CMAKE_MATCH_2}; only ${os_reader}.hpp does, others ask WARDEN_OS_* and WARDEN_HAS_*")
        endif()
    endforeach()
endforeach()

list(LENGTH paths count)
if(faults GREATER 0)
    message(FATAL_ERROR "structure: ${faults} violations in ${count} headers")
endif()
message("structure: ${count} headers, no violations")
