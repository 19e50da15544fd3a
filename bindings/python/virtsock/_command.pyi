# SPDX-License-Identifier: MIT
"""The command of tools/ as a module, for `__main__`."""

from typing import NoReturn

def run(*words: bytes) -> NoReturn: ...
