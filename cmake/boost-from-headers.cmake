# Boost for a system whose own build of it is not at hand: the headers in WARDEN_HEADERS (which may be those of another
# system), and what is needed of its compiled parts compiled here. Header-only Catch2 and CLI11 are found there too.
find_package(Threads REQUIRED)
set(headers ${CMAKE_CURRENT_BINARY_DIR}/headers)
file(MAKE_DIRECTORY ${headers})
foreach(name boost catch2 CLI)  # by name, so that nothing else of that folder is seen
    if(EXISTS ${WARDEN_HEADERS}/${name})
        file(CREATE_LINK ${WARDEN_HEADERS}/${name} ${headers}/${name} SYMBOLIC)
    endif()
endforeach()
file(WRITE ${headers}/Windows.h "#include <windows.h>\n")  # Boost says it so, which matters where case does

file(STRINGS ${headers}/boost/version.hpp boost_version REGEX "#define BOOST_VERSION ")
string(REGEX REPLACE "[^0-9]" "" boost_version "${boost_version}")
if(boost_version VERSION_LESS 108100 OR boost_version VERSION_GREATER_EQUAL 108600)
    message(FATAL_ERROR "WARDEN_HEADERS=${WARDEN_HEADERS}: Boost ${boost_version}; "
        "Boost.Process v2 is header-only from 1.81 to 1.85")
endif()

add_library(boost_headers INTERFACE)
add_library(Boost::headers ALIAS boost_headers)
target_include_directories(boost_headers SYSTEM INTERFACE ${headers})

file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/boost_json.cpp CONTENT "#include <boost/json/src.hpp>\n")
add_library(boost_json STATIC ${CMAKE_CURRENT_BINARY_DIR}/boost_json.cpp)
add_library(Boost::json ALIAS boost_json)
target_compile_features(boost_json PUBLIC cxx_std_20)
target_compile_definitions(boost_json PUBLIC BOOST_JSON_STATIC_LINK BOOST_JSON_NO_LIB)
target_link_libraries(boost_json PUBLIC boost_headers)

# Boost.Filesystem has no header-only form; Boost.Process can do with the one of the standard library.
add_library(boost_filesystem INTERFACE)
add_library(Boost::filesystem ALIAS boost_filesystem)
target_compile_definitions(boost_filesystem INTERFACE BOOST_PROCESS_USE_STD_FS)
target_link_libraries(boost_filesystem INTERFACE boost_headers)
set(Boost_FOUND TRUE)
