-- SPDX-License-Identifier: MIT
-- What LuaRocks builds of the folder that make_rock.py lays out: there virtsock_core.c is what SWIG made, and virtsock/header.lua the text of
-- virtsock.h. That script writes the version, and for @linux@ and its like what core/sources.txt has for that system.
-- LuaRocks' own build passes no flag to the linker: on Linux the module exports the core's functions beside its start.
rockspec_format = "3.0"
package = "virtsock"
version = "scm-1"
source = { url = "virtsock-scm.tar.gz" }
description = {
  summary = "Sockets between hosts and virtual machines",
  detailed = "Streams over AF_VSOCK, Hyper-V sockets, the multiplexers of Firecracker and its kin, HyperKit, UNIX sockets and TCP.",
  license = "MIT",
  labels = { "socket", "vsock", "hyper-v", "virtual-machine" },
}
dependencies = { "lua >= 5.1, < 5.5" }
build = {
  type = "builtin",
  modules = {
    virtsock = "virtsock.lua",
    ["virtsock.ffi"] = "virtsock/ffi.lua",
    ["virtsock.library"] = "virtsock/library.lua",
    ["virtsock.header"] = "virtsock/header.lua",
    ["virtsock.core"] = { incdirs = { "core", "core/include" }, defines = { "VIRTSOCK_STATIC", "SWIG_TYPE_TABLE=virtsock" } },
  },
  platforms = {
    linux = { modules = { ["virtsock.core"] = { sources = { "@linux@" }, libraries = { "pthread" }, libdirs = {} } } },
    freebsd = { modules = { ["virtsock.core"] = { sources = { "@freebsd@" }, libraries = { "pthread" }, libdirs = {} } } },
    macosx = { modules = { ["virtsock.core"] = { sources = { "@macos@" } } } },
    windows = { modules = { ["virtsock.core"] = { sources = { "@windows@" }, libraries = { "ws2_32" } } } },
  },
}
