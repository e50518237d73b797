# What warden stands on; read by its build and by its installed package.
# Boost from 1.86 on has Boost::process as a compiled library; before, it is headers.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Boost 1.81 CONFIG QUIET COMPONENTS headers json filesystem OPTIONAL_COMPONENTS process)
if(NOT Boost_FOUND)
    find_package(Boost 1.81 QUIET COMPONENTS json filesystem OPTIONAL_COMPONENTS process)
endif()
