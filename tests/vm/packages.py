# SPDX-License-Identifier: MIT
"""Debian's packages as files: downloaded by apt, unpacked, never installed.

Owns how apt is asked, and views of Debian that are apart from the system's own lists.
"""

import contextlib
import tempfile
from pathlib import Path

from .cache import LabError, Missing, cached, tool


def unpack(name, folder, options=()):
    """The package's tree below the folder. Missing, where apt does not have it."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        try:        # apt warns as root that the download was not sandboxed: that is no failure
            tool("apt-get", *options, "download", name, cwd=work)
        except LabError as error:
            raise Missing(f"the package {name} cannot be downloaded (try apt-get update): {error}") from error
        package, = Path(work).glob("*.deb")
        tool("dpkg", "-x", package, folder)


def program(package, file):
    """A program of the package, below the user's cache, where guests see it. Missing, where it is not to be had or this system lacks a library."""
    path = cached(package, lambda folder: unpack(package, folder)) / file
    if b"not found" in tool("ldd", path):
        raise Missing(f"this system lacks a library of {path.name}'s")
    return path


def unpack_unstable(name, folder):
    """As unpack(), with the package of Debian unstable, from the mirror that this machine has its own release from."""
    with unstable() as options:
        unpack(name, folder, options)


def unpack_source(name, folder, release=None):
    """What its authors have published: the source package's archive without Debian's changes. None: of this machine's release."""
    release = release or min(tool("apt-get", "indextargets", "--format", "$(RELEASE)", *MAIN).decode().split(), key=len)
    with apart(f"deb-src {mirror()} {release} main") as options, tempfile.TemporaryDirectory(dir=folder.parent) as work:
        try:
            tool("apt-get", *options, "source", "--tar-only", "--only-source", name, cwd=work)
        except LabError as error:
            raise Missing(f"the source package {name} cannot be downloaded: {error}") from error
        archive, = Path(work).glob("*.orig.tar.*")
        tool("tar", "-x", "-f", archive, "-C", folder, "--strip-components=1")


def unstable():
    """apt's options for Debian unstable alone."""
    return apart(f"deb {mirror()} unstable main")


@contextlib.contextmanager
def apart(source):
    """apt's options for a state of its own that knows one source alone; the system's lists are left as they are."""
    with tempfile.TemporaryDirectory() as work:
        for folder in ("lists/partial", "archives/partial", "none"):
            Path(work, folder).mkdir(parents=True)
        sources = Path(work, "sources.list")
        sources.write_text(f"{source}\n")
        options = [option for setting in (
            f"Dir::Etc::sourcelist={sources}", f"Dir::Etc::sourceparts={work}/none", f"Dir::State::lists={work}/lists",
            f"Dir::Cache={work}", "Acquire::Languages=none", "Acquire::Check-Valid-Until=false",        # a mirror that lags will do
            "APT::Sandbox::User=root") for option in ("-o", setting)]
        try:
            tool("apt-get", *options, "update", timeout=90)
        except LabError as error:
            raise Missing(f"the list of packages of \"{source}\" cannot be had: {error}") from error
        yield options


# apt's own lists of what Debian itself, and no one else, has.
MAIN = ("Created-By: Packages", "Origin: Debian", "Label: Debian", "Component: main")


def mirror():
    """Where this machine has Debian itself from."""
    listed = tool("apt-get", "indextargets", "--format", "$(REPO_URI)", *MAIN).decode().split()
    if not listed:
        raise Missing("apt has no Debian mirror here")
    return listed[0]
