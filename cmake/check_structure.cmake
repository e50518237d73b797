# The rules of the house, checked over include/warden of a tree.
#   cmake -D ROOT=<repository> -P check_structure.cmake
cmake_minimum_required(VERSION 3.25)

# A room for each folder, and for the headers beside the folders: its name; the paths in it, below include/warden and
# without `.hpp`; the rooms whose headers it may include. Each room may include its own headers. The first match counts.
set(rooms
    "ground             | version|platform|fwd|error|timeout|stream_output |"
    "words              | command_line|environment|streams|callbacks|resource_limits|spawn_options|exit_status|process_info|lifecycle|stop_plan|containment|manager_config | ground output"
    "detail/base        | detail/base/[^/]+        | ground"
    "detail/text        | detail/text/[^/]+        | ground"
    "output             | output/[^/]+             | ground detail/text"
    "detail/system      | detail/system/[^/]+      | ground words detail/base detail/text"
    "detail/launch      | detail/launch/[^/]+      | ground words detail/base output detail/text detail/system"
    "detail/logs        | detail/logs/[^/]+        | ground words detail/base output detail/text detail/system"
    "logs               | logs/[^/]+               | ground words detail/base output detail/text detail/logs"
    "telemetry          | telemetry/[^/]+          | ground words output detail/text detail/logs logs"
    "detached           | detached/[^/]+           | ground words output logs front impl"
    "detail/runtime     | detail/runtime/[^/]+     | ground words detail/base detail/system telemetry"
    "detail/containment | detail/containment/[^/]+ | ground words detail/base detail/system detail/launch detail/runtime telemetry"
    "detail/output      | detail/output/[^/]+      | ground words detail/base output detail/text detail/system detail/logs logs detail/runtime"
    "detail/engine      | detail/engine/[^/]+      | ground words detail/base output detail/text detail/system detail/launch detail/logs logs telemetry detail/runtime detail/containment detail/output"
    "front              | managed_process|process_manager | ground words output logs telemetry detail/launch detail/engine impl"
    "detail/detached    | detail/detached/[^/]+    | ground words detail/base output detail/text detail/system detail/launch detail/logs logs telemetry detached detail/runtime detail/containment detail/output detail/engine front"
    "impl               | impl/[^/]+               | ground words detail/base detail/system detail/launch logs detached detail/engine detail/detached front supervision/words detail/supervision supervision"
    "supervision/words  | supervision/(probe|probe_validation|probe_outcome|port_holder|restart_policy|service|service_status) | ground words"
    "detail/supervision | detail/supervision/[^/]+ | ground words detail/base output detail/text detail/system detail/launch logs telemetry detail/runtime detail/containment detail/output detail/engine front supervision/words"
    "supervision        | supervision/[^/]+        | ground words detail/base detail/system detail/launch detail/engine front impl supervision/words detail/supervision"
    "testing            | testing/[^/]+            | ground words detail/system detail/launch detail/containment front"
    "top                | warden|no_direct_spawn|src | ground words output logs telemetry detached front impl supervision"
)
set(mutual "front impl detached supervision")  # two rooms that include each other: a class, and its code
set(card_free "warden")          # the umbrella: includes only
set(os_reader "platform")        # the one reader of the system's macros
set(process_door "detail/launch/boost_process")  # with any suffix: the one door to Boost.Process
set(asio_free ground words output detail/base detail/text)   # Asio costs every unit that includes it half a second
set(max_lines 400)
set(max_function_lines 60)
set(no_function "^(namespace|class|struct|enum|union|extern|template|public|protected|private)$")

# The suffix of a file is the system that it is for, and the condition that wraps its body.
set(suffixes
    "_posix    | WARDEN_OS_POSIX"
    "_portable | WARDEN_OS_POSIX && !WARDEN_OS_LINUX"
    "_linux    | WARDEN_OS_LINUX"
    "_windows  | WARDEN_OS_WINDOWS")
string(CONCAT system_headers
    "^(unistd|fcntl|poll|sched|spawn|pthread|dirent|grp|pwd|termios|netdb|dlfcn|ifaddrs|syslog|windows|winsock2|ws2tcpip"
    "|tlhelp32|psapi|shlobj|winternl|io|process)\\.h$|^(sys|linux|netinet|arpa|net)/")

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

# -- the rooms, and whether their own table keeps the rules ------------------------
foreach(row IN LISTS rooms)
    string(REGEX MATCH "^([a-z/]+) +\\| +([^ ]+) +\\|(.*)$" _ "${row}")
    set(room ${CMAKE_MATCH_1})
    set(pattern_of_${room} ${CMAKE_MATCH_2})
    string(STRIP "${CMAKE_MATCH_3}" may)
    string(REPLACE " " ";" may_${room} "${may}")
    list(APPEND names ${room})
endforeach()
foreach(room IN LISTS names)
    foreach(other IN LISTS may_${room})
        if(NOT other IN_LIST names)
            message(FATAL_ERROR "structure: the row of `${room}` names the room `${other}`, which there is not")
        endif()
        if(room IN_LIST may_${other} AND NOT "${mutual}" MATCHES "${room}" )
            message(FATAL_ERROR "structure: `${room}` and `${other}` include each other")
        endif()
    endforeach()
endforeach()

# The room in which the header `name` is, or nothing.
function(find_room name result)
    foreach(room IN LISTS names)
        if(name MATCHES "^(${pattern_of_${room}})$")
            set(${result} ${room} PARENT_SCOPE)
            return()
        endif()
    endforeach()
    set(${result} "" PARENT_SCOPE)
endfunction()

# The condition that the suffix of `name` stands for, or nothing.
function(find_condition name result)
    foreach(row IN LISTS suffixes)
        string(REGEX MATCH "^(_[a-z]+) +\\| (.*)$" _ "${row}")
        if(name MATCHES "${CMAKE_MATCH_1}$")
            string(REGEX MATCH "^(_[a-z]+) +\\| (.*)$" _ "${row}")
            set(${result} "${CMAKE_MATCH_2}" PARENT_SCOPE)
            return()
        endif()
    endforeach()
    set(${result} "" PARENT_SCOPE)
endfunction()

function(read_lines file result)
    file(READ ${file} text)
    string(REGEX REPLACE "\n$" "" text "${text}")
    string(REGEX REPLACE "[][;\\]" "?" text "${text}")  # CMake's own list syntax
    string(REPLACE "\n" ";" text "${text}")
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE paths RELATIVE ${ROOT}/include/warden ${ROOT}/include/warden/*)
list(REMOVE_ITEM paths README.md)
if(NOT paths)
    message(FATAL_ERROR "no headers below ${ROOT}/include/warden")
endif()

foreach(path IN LISTS paths)
    if(NOT path MATCHES "^(.*)\\.hpp$")
        fault(1 "only headers named *.hpp live here")
        continue()
    endif()
    set(name ${CMAKE_MATCH_1})

    find_room(${name} room)
    if(NOT room)
        fault(1 "is in no room: give its folder a row in cmake/check_structure.cmake")
    endif()
    find_condition(${name} condition)

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
    set(wrapped FALSE)
    set(begin_0 0)  # of the function that is open at this depth: of a namespace, of a class
    set(begin_4 0)
    foreach(line IN LISTS lines)
        math(EXPR number "${number} + 1")
        if(line MATCHES "^(    )?([A-Za-z_~?]+)")
            string(LENGTH "${CMAKE_MATCH_1}" depth)
            set(begin_${depth} ${number})
            if(CMAKE_MATCH_2 MATCHES "${no_function}")
                set(begin_${depth} 0)
            endif()
        elseif(line MATCHES "^(    )?}$")
            string(LENGTH "${CMAKE_MATCH_1}" depth)
            math(EXPR length "${number} - ${begin_${depth}} + 1")
            if(begin_${depth} GREATER 0 AND length GREATER max_function_lines)
                fault(${begin_${depth}} "a function of ${length} lines; ${max_function_lines} are the most")
            endif()
            set(begin_${depth} 0)
        endif()
        string(REGEX REPLACE "//.*" "" line "${line}")
        string(STRIP "${line}" line)
        if(line MATCHES "^ *# *include *([<\"])([^>\"]+)")
            set(included ${CMAKE_MATCH_2})
            if(CMAKE_MATCH_1 STREQUAL "\"")
                fault(${number} "includes \"${included}\": write <warden/...>")
            elseif(included MATCHES "^warden/(.*)\\.hpp$")
                find_room(${CMAKE_MATCH_1} other)
                if(NOT EXISTS ${ROOT}/include/${included})
                    fault(${number} "includes <${included}>, which does not exist")
                elseif(room AND other AND NOT other STREQUAL room AND NOT other IN_LIST may_${room})
                    fault(${number} "in `${room}` includes <${included}> of `${other}`, which is not below it")
                endif()
            elseif(included MATCHES "^boost/process" AND NOT name MATCHES "^${process_door}(_[a-z]+)?$")
                fault(${number} "opens Boost.Process; only ${process_door}.hpp does")
            elseif(included MATCHES "^boost/asio" AND room IN_LIST asio_free)
                fault(${number} "in `${room}` includes Asio")
            elseif(included MATCHES "${system_headers}" AND NOT condition)
                fault(${number} "includes <${included}> of one system; its name has no suffix that says which")
            endif()
        elseif(condition AND line STREQUAL "#if ${condition}")
            set(wrapped TRUE)
        elseif(NOT name STREQUAL os_reader AND line MATCHES "(^|[^A-Za-z0-9_])(${os_macros})([^A-Za-z0-9_]|$)")
            fault(${number} "reads ${CMAKE_MATCH_2}; only ${os_reader}.hpp does, others ask WARDEN_OS_* and WARDEN_HAS_*")
        elseif(condition AND NOT wrapped AND line MATCHES "^(namespace|class|struct|inline|#define)")
            fault(${number} "begins before `#if ${condition}`, which its suffix promises")
            set(wrapped TRUE)
        endif()
    endforeach()
endforeach()

# -- the map: each path that it names exists, below include/warden or in the repository ------------
set(path README.md)
set(number 0)
if(EXISTS ${ROOT}/include/warden/README.md)
    read_lines(${ROOT}/include/warden/README.md lines)
    list(LENGTH lines length)
    if(length GREATER 150)
        fault(${length} "has ${length} lines; a map of more than 150 is no map")
    endif()
    foreach(line IN LISTS lines)
        math(EXPR number "${number} + 1")
        string(REGEX MATCHALL "`[a-z0-9_/]+(/|\\.hpp|\\.cpp|\\.cmake)`" named "${line}")
        foreach(place IN LISTS named)
            string(REPLACE "`" "" place "${place}")
            if(NOT EXISTS ${ROOT}/include/warden/${place} AND NOT EXISTS ${ROOT}/${place})
                fault(${number} "names ${place}, which does not exist")
            endif()
        endforeach()
    endforeach()
endif()

list(LENGTH paths count)
if(faults GREATER 0)
    message(FATAL_ERROR "structure: ${faults} violations in ${count} headers")
endif()
message("structure: ${count} headers, no violations")
