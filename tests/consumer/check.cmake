# Builds and runs the consumer in an empty folder, one of the ways in which people take a library.
#   cmake -D WAY=.. -D SOURCE=.. -D BUILD=.. -D SCRATCH=.. -D CXX=.. [-D CCACHE=..] [-D PKG_CONFIG=..] -P check.cmake
cmake_minimum_required(VERSION 3.25)

function(run)
    execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(build_project)
    run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${WAY} -B ${SCRATCH}/build -G Ninja
        -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_CXX_COMPILER_LAUNCHER=${CCACHE}
        -D CMAKE_BUILD_TYPE=Debug ${ARGV})
    run(${CMAKE_COMMAND} --build ${SCRATCH}/build)
    run(${SCRATCH}/build/consumer)
    if(EXISTS ${SCRATCH}/build/consumer_compiled)
        run(${SCRATCH}/build/consumer_compiled)
    endif()
endfunction()

function(compile_by_hand)
    file(MAKE_DIRECTORY ${SCRATCH}/build)
    run(${CCACHE} ${CXX} -std=c++20 -c ${CMAKE_CURRENT_LIST_DIR}/main.cpp -o ${SCRATCH}/build/main.o ${ARGV})
    run(${CXX} ${SCRATCH}/build/main.o -o ${SCRATCH}/build/consumer ${ARGV})
    run(${SCRATCH}/build/consumer)
endfunction()

if(NOT CCACHE)
    set(CCACHE)
endif()
file(REMOVE_RECURSE ${SCRATCH})
if(WAY STREQUAL find_package)
    run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
    build_project(-D CMAKE_PREFIX_PATH=${SCRATCH}/prefix)
elseif(WAY STREQUAL add_subdirectory)
    build_project(-D WARDEN_SOURCE=${SOURCE})
elseif(WAY STREQUAL pkg_config)
    run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
    set(ENV{PKG_CONFIG_PATH} ${SCRATCH}/prefix/share/pkgconfig)
    execute_process(COMMAND ${PKG_CONFIG} --cflags --libs warden
        OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    separate_arguments(flags UNIX_COMMAND "${flags}")
    compile_by_hand(${flags})
elseif(WAY STREQUAL copied)
    file(COPY ${SOURCE}/include DESTINATION ${SCRATCH})
    compile_by_hand(-I${SCRATCH}/include -pthread -lboost_json -lboost_filesystem)
else()
    message(FATAL_ERROR "no such way to take the library: ${WAY}")
endif()
