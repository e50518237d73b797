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

# -- every header compiles alone, and may be included twice --------------------------
foreach(header IN LISTS warden_headers)
    file(RELATIVE_PATH header ${PROJECT_SOURCE_DIR}/include ${header})
    string(REGEX REPLACE "[/.]" "_" unit ${header})
    set(unit ${CMAKE_CURRENT_BINARY_DIR}/headers/${unit}.cpp)
    file(CONFIGURE OUTPUT ${unit} CONTENT "#include <@header@>\n#include <@header@> // NOLINT\n" @ONLY)
    list(APPEND header_units ${unit})
endforeach()
add_library(headers_alone OBJECT EXCLUDE_FROM_ALL ${header_units})
target_link_libraries(headers_alone PRIVATE warden::warden warden_warnings)
target_compile_options(headers_alone PRIVATE -O0 -g0)
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
if(EXISTS ${PROJECT_SOURCE_DIR}/include/warden/warden.hpp)
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

    # -- a stranger's project uses the package ------------------------------------------
    find_program(PKG_CONFIG NAMES pkgconf pkg-config)
    foreach(way find_package add_subdirectory pkg_config copied)
        if(way STREQUAL pkg_config AND NOT PKG_CONFIG)
            continue()
        endif()
        add_check("consumer: ${way}" ${CMAKE_COMMAND}
            -D WAY=${way}
            -D SOURCE=${PROJECT_SOURCE_DIR}
            -D BUILD=${CMAKE_BINARY_DIR}
            -D SCRATCH=${CMAKE_CURRENT_BINARY_DIR}/consumer/${way}
            -D CXX=${CMAKE_CXX_COMPILER}
            -D CCACHE=${CCACHE}
            -D PKG_CONFIG=${PKG_CONFIG}
            -P ${CMAKE_CURRENT_SOURCE_DIR}/consumer/check.cmake)
    endforeach()
endif()
