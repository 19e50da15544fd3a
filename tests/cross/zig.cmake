# SPDX-License-Identifier: MIT
# Toolchain: zig from PyPI, which brings a compiler, a linker, and the headers and libraries of the systems. The preset says which system:
# CMAKE_SYSTEM_NAME and CMAKE_C_COMPILER_TARGET.
set(zig ${CMAKE_CURRENT_LIST_DIR}/../../build/venv/bin/python -m ziglang)
set(CMAKE_C_COMPILER ${zig} cc)
list(JOIN zig " " zig)
set(CMAKE_C_ARCHIVE_CREATE "${zig} ar qc <TARGET> <OBJECTS>")
set(CMAKE_C_ARCHIVE_FINISH "${zig} ranlib <TARGET>")
set(CMAKE_INSTALL_NAME_DIR "@rpath")               # macOS; there is no tool here that would change it at installation
set(CMAKE_BUILD_WITH_INSTALL_NAME_DIR ON)
