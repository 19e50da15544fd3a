# SPDX-License-Identifier: MIT
"""Checks of the design: what a reader of the tree would otherwise have to watch."""
