import re
from pathlib import Path

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy

required_conan_version = ">=2.0"


class Warden(ConanFile):
    name = "warden"
    description = "Processes that a C++ program starts, with nothing left behind"
    license = "MIT"
    topics = ("process", "subprocess", "supervisor", "containment", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    exports_sources = "include/*", "cmake/warden-compiled.cmake", "LICENSE"
    no_copy_source = True
    test_package_folder = "tests/consumer/find_package"  # the same program as of every other package

    def set_version(self):
        text = (Path(self.recipe_folder) / "include/warden/version.hpp").read_text()
        self.version = ".".join(re.findall(r"#define WARDEN_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text))

    def requirements(self):
        self.requires("boost/[>=1.81.0 <2]")

    def validate(self):
        check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "LICENSE", self.source_folder, str(Path(self.package_folder) / "licenses"))
        copy(self, "*.hpp", str(Path(self.source_folder) / "include"), str(Path(self.package_folder) / "include"))
        copy(self, "cmake/warden-compiled.cmake", self.source_folder, self.package_folder)

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "warden")
        self.cpp_info.set_property("cmake_target_name", "warden::warden")
        self.cpp_info.set_property("cmake_build_modules", ["cmake/warden-compiled.cmake"])  # makes warden::compiled
        self.cpp_info.set_property("pkg_config_name", "warden")
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.requires = ["boost::headers", "boost::json", "boost::filesystem"]
        if tuple(map(int, str(self.dependencies["boost"].ref.version).split(".")[:2])) >= (1, 86):
            self.cpp_info.requires.append("boost::process")
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]
        if self.settings.os == "Windows":
            self.cpp_info.system_libs = ["ws2_32", "mswsock", "bcrypt", "ntdll", "shell32", "advapi32", "ole32",
                                         "uuid", "user32", "psapi"]
