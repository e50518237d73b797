"""Plays Conan: makes the package by the recipe, from no more than it exports, and the CMake files that its consumers get.

    python3 conan_package.py SOURCE SCRATCH

Conan itself is not needed; what stands in for it has the few functions that the recipe calls. Like CMakeDeps it makes
the target from what `package_info` says, and then includes the build modules, which must be in the package.
"""
import shutil
import sys
import types
from fnmatch import fnmatch
from pathlib import Path

source, scratch = Path(sys.argv[1]), Path(sys.argv[2])
exported, package = scratch / "exported", scratch / "package"


def copy(_, pattern, src, dst):
    found = [p for p in Path(src).rglob("*") if p.is_file() and fnmatch(str(p.relative_to(src)), pattern)]
    assert found, f"the recipe copies '{pattern}', which is not in {src}"
    for path in found:
        target = Path(dst) / path.relative_to(src)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


class Info:
    def __init__(self):
        self.properties = {}

    def set_property(self, name, value):
        self.properties[name] = value


modules = {"conan": {"ConanFile": object}, "conan.tools": {}, "conan.tools.files": {"copy": copy},
           "conan.tools.build": {"check_min_cppstd": lambda *_: None}}
for name, members in modules.items():
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)
recipe_code = {"__file__": str(source / "conanfile.py"), "__name__": "recipe"}
exec(compile((source / "conanfile.py").read_text(), "conanfile.py", "exec"), recipe_code)

recipe = recipe_code["Warden"]()
recipe.recipe_folder = str(source)
recipe.set_version()
for pattern in recipe.exports_sources:
    copy(None, pattern, source, exported)
recipe.source_folder, recipe.package_folder = str(exported), str(package)
recipe.package()
boost = types.SimpleNamespace(ref=types.SimpleNamespace(version="1.81.0"))
recipe.dependencies = {"boost": boost}
recipe.settings = types.SimpleNamespace(os="Linux")
recipe.cpp_info = Info()
recipe.package_info()

assert (package / "licenses/LICENSE").is_file(), "no license is in the package"
assert (source / recipe.test_package_folder / "conanfile.py").is_file(), "no test_package"
assert recipe.topics and recipe.license and recipe.description
properties = recipe.cpp_info.properties
file_name = properties.get("cmake_file_name", recipe.name)
target = properties.get("cmake_target_name", f"{recipe.name}::{recipe.name}")
links = [requirement.replace("boost::", "Boost::") for requirement in recipe.cpp_info.requires]
links += recipe.cpp_info.system_libs
config = [f"find_package(Boost 1.81 REQUIRED COMPONENTS {' '.join(l[7:] for l in links if l.startswith('Boost::'))})",
          f"add_library({target} INTERFACE IMPORTED)",
          f"target_include_directories({target} INTERFACE {package / 'include'})",
          f"target_link_libraries({target} INTERFACE {' '.join(links)})"]
config += [f"include({package / module})" for module in properties.get("cmake_build_modules", [])]
generated = scratch / "generated"
generated.mkdir(parents=True)
(generated / f"{file_name}-config.cmake").write_text("\n".join(config) + "\n")
(generated / f"{file_name}-config-version.cmake").write_text(
    f'set(PACKAGE_VERSION {recipe.version})\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n')
