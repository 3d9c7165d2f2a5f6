"""What every test shares: the comparisons with torch are collected only where torch is installed."""

import os
from importlib.util import find_spec

from hypothesis import settings

# The same examples every time, so that a change is judged by the same tests; NDGRAD_EXPLORE=1 looks for new ones.
settings.register_profile("repeatable", derandomize=True)
if os.environ.get("NDGRAD_EXPLORE", "0") == "0":
    settings.load_profile("repeatable")

HAVE_TORCH = find_spec("torch") is not None

collect_ignore = [] if HAVE_TORCH else ["oracle"]


def pytest_report_header() -> str:
    if HAVE_TORCH:
        return "oracle: torch is installed, tests/oracle compares with it"
    return "oracle: torch is not installed, so tests/oracle (comparisons with torch) is left out; pip install -e '.[oracle]' adds it"
