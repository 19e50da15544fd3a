# SPDX-License-Identifier: MIT
"""Options: ranges, times in seconds, rules."""

from __future__ import annotations

import math
import os

import pytest
import virtsock
from conftest import IS_UNIX, fails_with, unix_only
from virtsock import Status, native
from virtsock.native import milliseconds


def test_options_are_numbers_with_ranges() -> None:
    options = native.options_new()
    native.options_set(options, native.OPTION_WAIT, -1)
    for option, value in ((native.OPTION_WAIT, -2), (native.OPTION_BACKLOG, 0), (native.OPTION_SOCKET_MODE, 0o1000)):
        with pytest.raises(ValueError) as caught:
            native.options_set(options, option, value)
        assert caught.value.status == Status.INVALID
    for unknown in (0, -1, 1000):
        with fails_with(Status.UNSUPPORTED):
            native.options_set(options, unknown, 1)
    with pytest.raises(OverflowError):
        native.options_set(options, native.OPTION_WAIT, 2**63)
    with pytest.raises(TypeError):
        native.options_set(None, native.OPTION_WAIT, 1)


def test_times_are_seconds_rounded_up() -> None:
    for seconds, ms in ((None, -1), (math.inf, -1), (0, 0), (0.0001, 1), (0.001, 1), (1, 1000), (1.0001, 1001), (2147483, 2147483000)):
        assert milliseconds(seconds) == ms
    for bad in (-1, -0.001, math.nan, -math.inf):
        with pytest.raises(ValueError):
            milliseconds(bad)
    with pytest.raises(OverflowError):
        milliseconds(2147484)
    with pytest.raises(TypeError):
        milliseconds("1")  # type: ignore[arg-type]


def test_a_bad_option_fails_before_anything_is_done(address) -> None:
    where = address()
    for wrong in ({"backlog": 0}, {"linger": -1}, {"timeout": -1}, {"allow": ["nonsense"]}, {"allow": "9-3"}, {"socket_mode": -1}):
        with pytest.raises(ValueError):
            virtsock.listen(where, **wrong)
    for wrong in ({"wait": -1}, {"timeout": math.nan}, {"connect_timeout": -5}, {"message_max": 0}):
        with pytest.raises(ValueError):
            virtsock.connect(where, **wrong)
    with pytest.raises(ValueError):
        virtsock.resolve(where, connect_timeout=-1)
    assert virtsock.resolve(where, connect_timeout=math.inf) == where
    for wrong in ({"backlog": "5"}, {"backlog": 1.5}, {"allow": [None]}, {"allow": 5}, {"timeout": "1"}):
        with pytest.raises(TypeError):
            virtsock.listen(where, **wrong)
    with pytest.raises(TypeError):
        virtsock.connect(where, nonesuch=1)  # type: ignore[call-arg]


def test_an_option_that_the_scheme_has_no_use_for(address) -> None:
    with pytest.raises(virtsock.Error) as caught:
        virtsock.connect(address(), hyperv_suspend=True)
    assert caught.value.status == Status.UNSUPPORTED and "HYPERV_SUSPEND" in str(caught.value)
    if IS_UNIX:
        with fails_with(Status.UNSUPPORTED):
            virtsock.listen(address(), allow=["3-9"])


def test_buffer_size(address) -> None:
    where = address()
    with virtsock.listen(where, buffer_size=65536), virtsock.connect(where, buffer_size=65536, timeout=5) as stream:
        assert stream.info["buffer_size"] >= 65536


@unix_only
def test_rules(address) -> None:
    with virtsock.listen(address(), allow="self") as listener, virtsock.connect(listener.address), listener.accept() as server:
        assert server.info["peer_uid"] == os.getuid()
    where = address()
    with virtsock.listen(where, allow=[f"uid={os.getuid() + 1}"], timeout=0.2) as listener, virtsock.connect(where, timeout=5) as refused:
        with pytest.raises(TimeoutError):
            listener.accept()
        assert refused.recv(1) == b""
