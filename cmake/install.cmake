include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(warden_cmake_dir ${CMAKE_INSTALL_DATADIR}/cmake/warden)

install(TARGETS warden EXPORT warden FILE_SET HEADERS)
install(EXPORT warden FILE warden-targets.cmake NAMESPACE warden:: DESTINATION ${warden_cmake_dir})

configure_package_config_file(cmake/warden-config.cmake.in warden-config.cmake INSTALL_DESTINATION ${warden_cmake_dir})
write_basic_package_version_file(warden-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/warden-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/warden-config-version.cmake
    cmake/warden-compiled.cmake
    cmake/warden-dependencies.cmake
    DESTINATION ${warden_cmake_dir})

set(warden_pc_libs "-lboost_json -lboost_filesystem")
if(TARGET Boost::process)
    string(PREPEND warden_pc_libs "-lboost_process ")
endif()
set(warden_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)  # it names libraries of one architecture
file(RELATIVE_PATH warden_pc_to_prefix /prefix/${warden_pc_dir} /prefix)
string(REGEX REPLACE "/$" "" warden_pc_to_prefix "${warden_pc_to_prefix}")
configure_file(cmake/warden.pc.in warden.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/warden.pc DESTINATION ${warden_pc_dir})

install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/${PROJECT_NAME})
