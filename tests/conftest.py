"""What every test shares: the comparisons with torch are collected only where torch is installed."""

from importlib.util import find_spec

HAVE_TORCH = find_spec("torch") is not None

collect_ignore = [] if HAVE_TORCH else ["oracle"]


def pytest_report_header() -> str:
    if HAVE_TORCH:
        return "oracle: torch is installed, tests/oracle compares with it"
    return "oracle: torch is not installed, so tests/oracle (comparisons with torch) is left out; pip install -e '.[oracle]' adds it"
