# SPDX-License-Identifier: MIT
"""vhost-device-vsock: a multiplexer that gives a guest its AF_VSOCK device and its host the CONNECT/OK protocol on UNIX sockets.

Owns where the program comes from: this machine, Debian's package file, or crates.io.
"""

import functools
import shutil

from . import packages
from .cache import LabError, Missing, cached, found, tool

NAME = "vhost-device-vsock"
BUILD_TIME = 240            # seconds; 40 to 100 are usual


@functools.cache
def program(build=True):
    """The program, fetched at first use: seconds; or, where no package file can be had and build is true, compiled once: a minute or two."""
    refused = []
    for way in (installed, own_release, unstable, *([crate] if build else [])):
        try:
            file = way()
            tool(file, "--version")             # a package of another release may want another C library
            return str(file)
        except LabError as error:
            refused.append(f"{way.__doc__}: {error}")
    raise Missing(f"{NAME} is not to be had. " + "; ".join(refused))


def installed():
    """installed here"""
    if file := found(NAME):
        return file
    raise Missing("no")


def own_release():
    """from this system's packages"""
    return from_package("package", packages.unpack)


def unstable():
    """from Debian unstable"""
    return from_package("unstable", packages.unpack_unstable)


def from_package(name, unpack):
    return cached(f"device/{name}", lambda folder: unpack(NAME, folder)) / "usr" / "bin" / NAME


def crate():
    """built from crates.io"""
    cargo = found("cargo")
    if not cargo:
        raise Missing("cargo is not installed")
    return cached("device/crate", lambda folder: install(cargo, folder)) / "bin" / NAME


def install(cargo, folder):
    """Rust 1.85 or later can build it; Debian 12's own cargo is older, its cargo-web is not."""
    tool(cargo, "install", NAME, "--locked", "--root", folder, "--target-dir", folder / "target", timeout=BUILD_TIME)
    shutil.rmtree(folder / "target")
