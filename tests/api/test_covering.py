# SPDX-License-Identifier: MIT
"""What `./check` runs of a matrix: every behaviour, each choice, each pair of two choices; and what it leaves out exists."""

import itertools
import re

import pytest

import covering
from builds import C_RUNS

from .tree import ROOT

BUILDS = {build: transports for build, (_, transports) in C_RUNS.items()}
LUAS = itertools.product(("5.1", "5.2", "5.3", "5.4", "jit"), ("unix", "unix-seqpacket"))


def matrix(file, behaviours, combinations):
    return [covering.Variant(file, name, choices) for name in behaviours for choices in combinations]


C = matrix("a.c", "abcdefgh", [(("build", build), ("transport", one)) for build, some in BUILDS.items() for one in some])
LUA = matrix("a.lua", "ij", [(("lua", lua), ("transport", transport)) for lua, transport in LUAS])
ALONE = matrix("a.py", "klm", [()])


@pytest.fixture(params=[C, LUA, ALONE, [*C, *LUA, *ALONE]], ids=["C", "Lua", "no matrix", "all"])
def variants(request):
    return request.param


def kept(variants):
    return [variants[number] for number in covering.choose(variants)]


def test_every_behaviour_is_kept(variants):
    assert {one.behaviour for one in kept(variants)} == {one.behaviour for one in variants}


def test_each_choice_is_kept_in_each_file_and_each_pair_of_choices(variants):
    def choices(some):
        return {(one.file, choice) for one in some for choice in one.choices} | {pair for one in some for pair in itertools.combinations(one.choices, 2)}

    assert choices(kept(variants)) == choices(variants)


def test_each_behaviour_in_c_is_under_each_sanitizer_and_plain():
    ran = {(one.behaviour, covering.KINDS.get(dict(one.choices)["build"], dict(one.choices)["build"])) for one in kept(C)}
    assert ran == set(itertools.product("abcdefgh", ("plain", "asan", "tsan")))


def test_less_is_kept_and_choices_are_spread():
    chosen = kept(C)
    assert len(chosen) <= 3 * 8 + 3 < len(C)
    plain = [one.choices for one in chosen if dict(one.choices)["build"] in covering.KINDS]
    assert max(plain.count(choices) for choices in plain) <= 4


def test_it_says_what_it_leaves_out():
    chosen = covering.choose(C)
    assert covering.told(C, chosen) == [f"a.c: {len(C) - len(chosen)} of {len(C)}"]


def test_what_fast_leaves_out_exists():
    assert all((ROOT / path).exists() for path in covering.NOT_FAST)


def test_what_is_left_out_by_name_exists_and_has_a_reason():
    for name, reason in covering.LEFT.items():
        file, test = re.fullmatch(r"(\S+\.py)::(\w+)(?:\[.+)?", name).groups()
        assert f"def {test}(" in (ROOT / file).read_text() and len(reason) > 20


def test_what_is_left_out_by_name_is_no_other():
    assert all(covering.is_left(name) for name in covering.LEFT)
    assert covering.is_left("tests/vm/test_suites.py::test_python[layers-vsock]")
    for name in ("tests/test_relay.py::test_idle_connections", "tests/vm/test_relay.py::test_idle_connections_cost_little",
                 "tests/vm/test_suites.py::test_python[core-vsock]", "tests/vm/test_faults.py::test_before_the_guest_listens[mux]"):
        assert not covering.is_left(name)
