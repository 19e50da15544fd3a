# SPDX-License-Identifier: MIT
"""Makes this folder a package: its tests may have the names of others."""
