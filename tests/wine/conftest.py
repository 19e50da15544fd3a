# SPDX-License-Identifier: MIT
"""One Wine for all tests here, and a switchboard for each."""

import pytest

from builds import BUILD

from .peers import Peers
from .rig import Wine

pytestmark = pytest.mark.proves("hyperv", "windows")


@pytest.fixture(scope="session")
def wine(request):
    say = pytest.fail if request.config.getoption("--demand-all") else pytest.skip
    wine = Wine()
    if wine.wine is None:
        say("wine is not installed")
    if not (BUILD / "mingw64" / "virtsock-1.dll").exists():
        say("mingw64 is not built")
    wine.start()
    yield wine
    wine.stop()


@pytest.fixture
def board(tmp_path):
    """Services of one test: a folder that nobody else has."""
    folder = tmp_path / "board"
    folder.mkdir()
    return folder


@pytest.fixture
def peers(board):
    peers = Peers(board)
    yield peers
    peers.close()
