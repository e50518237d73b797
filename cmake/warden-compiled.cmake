# warden::compiled is warden::warden with its code compiled once, not in every unit that includes it. Built only if used.
if(NOT TARGET warden_compiled)
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/warden.cpp CONTENT "#include <warden/src.hpp>\n")
    add_library(warden_compiled STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_BINARY_DIR}/warden.cpp)
    add_library(warden::compiled ALIAS warden_compiled)
    target_compile_features(warden_compiled PUBLIC cxx_std_20)  # other packagers do not say so in warden::warden
    target_compile_definitions(warden_compiled PUBLIC WARDEN_SEPARATE_COMPILATION)
    target_link_libraries(warden_compiled PUBLIC warden::warden)
endif()
