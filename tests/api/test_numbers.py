# SPDX-License-Identifier: MIT
"""Same number, same behaviour, three languages."""

from .tree import ROOT

FILES = {"c": "[0-9]*.c", "python": "test_[0-9]*.py", "lua": "[0-9]*.lua"}

# A test that a language does not have: (test, language), and why.
REASONS = {
    ("040_handshake", "python"): "functions of the core that no binding has",
    ("040_handshake", "lua"): "functions of the core that no binding has",
    ("050_frames", "python"): "functions of the core that no binding has",
    ("050_frames", "lua"): "functions of the core that no binding has",
    ("110_causes", "python"): "the core's table of codes; what comes of them is in 100_errors",
    ("110_causes", "lua"): "the core's table of codes; what comes of them is in 100_errors",
    ("760_hostile", "c"): "its types are the compiler's; what it is handed at run time is in 100_errors, tests/fault and tests/fuzz",
    ("760_hostile", "python"): "in 100_errors, 300_io and 500_lifetimes, and in 750_endurance",
    ("710_testing", "c"): "the fake hypervisor is in Python; for others there is `virtsock mux`",
    ("710_testing", "lua"): "the fake hypervisor is in Python; for others there is `virtsock mux`",
    ("750_endurance", "c"): "what the core keeps and loses is in 500_lifetimes, 900_threads and tests/fault",
    ("750_endurance", "lua"): "what its collector does is in 500_lifetimes",
    ("700_aio", "c"): "asyncio is Python's",
    ("700_aio", "lua"): "asyncio is Python's",
    ("720_others", "c"): "Python's own libraries, and its packages",
    ("720_others", "lua"): "Python's own libraries, and its packages",
    ("730_dask", "c"): "an engine of Python's",
    ("730_dask", "lua"): "an engine of Python's",
    ("740_command", "c"): "tests/test_tools.py has the C program",
    ("740_command", "lua"): "pip alone installs the command in a language's own way",
}


def test_every_number_is_in_every_language():
    have = {language: {file.stem.removeprefix("test_") for file in (ROOT / "tests" / language).glob(pattern)}
            for language, pattern in FILES.items()}
    tests = set.union(*have.values())
    missing = {(test, language) for test in tests for language in FILES if test not in have[language]}
    assert len(tests) >= 11
    assert missing == set(REASONS), "missing without a reason, or there in spite of one"
    assert len({test[:3] for test in tests}) == len(tests), "a number stands for two things"
