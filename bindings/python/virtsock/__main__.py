# SPDX-License-Identifier: MIT
"""`python -m virtsock`, and the `virtsock` that pip installs: the command of tools/, the same C code. It uses nothing of the library's."""

from __future__ import annotations

import os
import sys

from ._command import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Is the command from here on, with the words of `sys.argv`: standard streams, signals and the exit code are C's.

    Nothing of Python runs after it, so it is for a process of its own.
    """
    run(*map(os.fsencode, sys.argv))


if __name__ == "__main__":
    main()
