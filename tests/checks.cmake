# Checks of the house itself, as CTest tests with the label `build`. A check builds in the tree that it
# belongs to, or starts builds of its own: it takes all of CTest's slots, and none runs beside another.
function(add_check name)
    add_test(NAME "${name}" COMMAND ${ARGN})
    set_tests_properties("${name}" PROPERTIES LABELS build TIMEOUT 900 PROCESSORS 4 RESOURCE_LOCK build)
endfunction()

# -- structure --------------------------------------------------------------------
add_check("structure: the headers keep the rules of the house"
    ${CMAKE_COMMAND} -D ROOT=${PROJECT_SOURCE_DIR} -P ${PROJECT_SOURCE_DIR}/cmake/check_structure.cmake)
add_check("structure: the check finds each kind of violation"
    ${CMAKE_COMMAND} -D SCRATCH=${CMAKE_CURRENT_BINARY_DIR}/structure
    -P ${PROJECT_SOURCE_DIR}/cmake/check_structure_test.cmake)

add_check("promises: each row of the README's table names tests that exist"
    ${CMAKE_COMMAND} -D ROOT=${PROJECT_SOURCE_DIR} -D BUILD=${CMAKE_BINARY_DIR}
    -P ${PROJECT_SOURCE_DIR}/cmake/check_promises.cmake)

# -- every header compiles alone, and may be included twice --------------------------
find_package(GTest QUIET)
foreach(header IN LISTS warden_headers)
    if(header STREQUAL ${PROJECT_SOURCE_DIR}/include/warden/testing/gtest_listener.hpp AND NOT GTest_FOUND)
        message(STATUS "SKIPPED: <warden/testing/gtest_listener.hpp> alone needs GoogleTest (Debian: libgtest-dev)")
        continue()
    endif()
    file(RELATIVE_PATH header ${PROJECT_SOURCE_DIR}/include ${header})
    string(REGEX REPLACE "[/.]" "_" unit ${header})
    set(unit ${CMAKE_CURRENT_BINARY_DIR}/headers/${unit}.cpp)
    file(CONFIGURE OUTPUT ${unit} CONTENT "#include <@header@>\n#include <@header@> // NOLINT\n" @ONLY)
    list(APPEND header_units ${unit})
    if(header STREQUAL "warden/src.hpp")
        set_source_files_properties(${unit} PROPERTIES COMPILE_DEFINITIONS WARDEN_SEPARATE_COMPILATION)
    endif()
endforeach()
add_library(headers_alone OBJECT EXCLUDE_FROM_ALL ${header_units})
target_link_libraries(headers_alone PRIVATE warden::warden Catch2::Catch2 $<TARGET_NAME_IF_EXISTS:GTest::gtest>
    warden_warnings)
target_compile_options(headers_alone PRIVATE -O0 -g0)
set_target_properties(headers_alone PROPERTIES CXX_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/syntax_only.sh)
add_check("headers: each compiles alone, without a warning"
    ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target headers_alone)

# clang-tidy over the same units: `cmake --build DIR --target lint`, only what has changed.
find_program(CLANG_TIDY clang-tidy)
if(CLANG_TIDY)
    foreach(unit IN LISTS header_units)
        get_filename_component(name ${unit} NAME)
        string(REPLACE . "\\." pattern "/${name}.o")
        add_custom_command(
            OUTPUT headers/${name}.tidy
            COMMAND ${CLANG_TIDY} --quiet -p ${CMAKE_BINARY_DIR} ${unit}
            COMMAND ${CMAKE_COMMAND} -E touch headers/${name}.tidy
            DEPENDS $<FILTER:$<TARGET_OBJECTS:headers_alone>,INCLUDE,${pattern}> ${PROJECT_SOURCE_DIR}/.clang-tidy
            COMMENT "clang-tidy ${name}")
        list(APPEND tidy_stamps headers/${name}.tidy)
    endforeach()
    add_custom_target(lint DEPENDS ${tidy_stamps})
endif()

# -- the umbrella in a program: twice, and without RTTI ------------------------------
add_executable(two_tu EXCLUDE_FROM_ALL consumer/two_tu/a.cpp consumer/two_tu/b.cpp)
add_executable(without_rtti EXCLUDE_FROM_ALL consumer/main.cpp)
target_compile_options(without_rtti PRIVATE -fno-rtti)
foreach(target two_tu without_rtti)
    target_link_libraries(${target} PRIVATE warden::warden warden_warnings)
    add_check("${target}: builds"
        ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target ${target})
    add_test(NAME "${target}: runs" COMMAND ${target})
    set_tests_properties("${target}: builds" PROPERTIES FIXTURES_SETUP ${target})
    set_tests_properties("${target}: runs" PROPERTIES FIXTURES_REQUIRED ${target} LABELS build TIMEOUT 120)
endforeach()

add_check("exceptions: a build without them ends with one sentence" ${CMAKE_COMMAND}
    -D SOURCE=${PROJECT_SOURCE_DIR} -D CXX=${CMAKE_CXX_COMPILER}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/consumer/without_exceptions.cmake)

# -- two shared libraries that both embed warden, with hidden visibility -----------------
add_library(plugin_code OBJECT EXCLUDE_FROM_ALL support/separate.cpp)
add_library(plugin_a MODULE EXCLUDE_FROM_ALL shared/plugin.cpp)
add_library(plugin_b MODULE EXCLUDE_FROM_ALL shared/plugin.cpp)
add_executable(shared_libraries EXCLUDE_FROM_ALL shared/main.cpp)
target_link_libraries(shared_libraries PRIVATE warden_warnings ${CMAKE_DL_LIBS})
add_dependencies(shared_libraries plugin_a plugin_b)
foreach(target plugin_code plugin_a plugin_b)
    set_target_properties(${target} PROPERTIES
        POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    target_compile_definitions(${target} PRIVATE BOOST_ASIO_SEPARATE_COMPILATION WARDEN_SEPARATE_COMPILATION)
    target_link_libraries(${target} PRIVATE warden::warden warden_warnings)
endforeach()
target_link_libraries(plugin_a PRIVATE plugin_code)
target_link_libraries(plugin_b PRIVATE plugin_code)
add_check("shared libraries: build" ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target shared_libraries)
set_tests_properties("shared libraries: build" PROPERTIES FIXTURES_SETUP shared_libraries)
foreach(scope global local)
    add_test(NAME "shared libraries: two that embed warden, loaded ${scope}" COMMAND shared_libraries
        ${scope} $<TARGET_FILE:plugin_a> $<TARGET_FILE:plugin_b> $<TARGET_FILE:victim>)
    set_tests_properties("shared libraries: two that embed warden, loaded ${scope}"
        PROPERTIES FIXTURES_REQUIRED shared_libraries LABELS build TIMEOUT 120)
endforeach()

# -- a stranger's project uses the package ------------------------------------------
find_program(PKG_CONFIG NAMES pkgconf pkg-config)
find_package(Python3 COMPONENTS Interpreter QUIET)
foreach(way find_package static conan add_subdirectory pkg_config copied)
    if(way STREQUAL pkg_config AND NOT PKG_CONFIG)
        message(STATUS "SKIPPED: the check of pkg-config needs it (Debian: pkgconf)")
        continue()
    endif()
    if(way STREQUAL conan AND NOT Python3_FOUND)
        message(STATUS "SKIPPED: the check of the Conan recipe needs Python (Debian: python3)")
        continue()
    endif()
    add_check("consumer: ${way}" ${CMAKE_COMMAND}
        -D WAY=${way}
        -D SOURCE=${PROJECT_SOURCE_DIR}
        -D BUILD=${CMAKE_BINARY_DIR}
        -D SCRATCH=${CMAKE_CURRENT_BINARY_DIR}/consumer/${way}
        -D CXX=${CMAKE_CXX_COMPILER}
        -D CCACHE=${CCACHE}
        -D LIBDIR=${CMAKE_INSTALL_LIBDIR}
        -D PKG_CONFIG=${PKG_CONFIG}
        -D PYTHON=${Python3_EXECUTABLE}
        -P ${CMAKE_CURRENT_SOURCE_DIR}/consumer/check.cmake)
endforeach()
