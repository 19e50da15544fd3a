# SPDX-License-Identifier: MIT
"""What the projects of others have: a program that uses the library, and a CMake project around it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from builds import ROOT

PROGRAM = """
#include <stdio.h>
#include <virtsock.h>

int main(int argc, char **argv)
{
    virtsock_address  *address;
    virtsock_listener *listener;
    virtsock_stream   *client, *server;
    virtsock_error     err;
    char               text[40];
    size_t             n;

    if (argc < 2 || virtsock_address_parse(&address, argv[1], &err) != VIRTSOCK_OK
        || virtsock_listen(&listener, address, NULL, &err) != VIRTSOCK_OK
        || virtsock_connect(&client, address, NULL, &err) != VIRTSOCK_OK
        || virtsock_accept(&server, listener, 5000, &err) != VIRTSOCK_OK
        || virtsock_stream_send_all(client, "well", 5, &n, 5000, &err) != VIRTSOCK_OK
        || virtsock_stream_recv(server, text, sizeof text, &n, 5000, &err) != VIRTSOCK_OK)
        return 1;
    puts(text);
    virtsock_stream_free(client);
    virtsock_stream_free(server);
    virtsock_listener_free(listener);
    virtsock_address_free(address);
    return 0;
}
"""
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")


def run(*command, **more):
    """What it prints; a failure tells everything."""
    more = {"stdin": subprocess.DEVNULL, "timeout": 300, **more}
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, check=False, **more)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def is_well(program, folder, **more) -> None:
    """It makes a connection to itself."""
    assert run(program, f"unix://{folder}/s", **more) == "well\n"


def write(folder: Path, project: str) -> Path:
    """The folder, with the program and a CMake project."""
    (folder / "agent.c").write_text(PROGRAM)
    (folder / "CMakeLists.txt").write_text(f"cmake_minimum_required(VERSION 3.20)\nproject(agent LANGUAGES C)\n{project}")
    return folder


def build(folder: Path, *more) -> Path:
    run("cmake", "-S", folder, "-B", folder / "build", *more)
    run("cmake", "--build", folder / "build", "--parallel", "2")
    return folder / "build"


def install(prefix: Path, *more) -> Path:
    """The library alone, configured for that prefix."""
    made = prefix.parent / f"{prefix.name}.made"
    run("cmake", "-S", ROOT, "-B", made, f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DVIRTSOCK_LUA=OFF", "-DVIRTSOCK_TOOLS=OFF", *more)
    run("cmake", "--build", made, "--parallel", "2")
    run("cmake", "--install", made)
    return prefix


def pkg_config(folder: Path, *words) -> list[str]:
    return run("pkg-config", *words, "virtsock", env={"PATH": "/usr/bin:/bin", "PKG_CONFIG_PATH": str(folder)}).split()
