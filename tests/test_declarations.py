"""The stubs say what is bound at import time."""

from pathlib import Path

import pytest

from tests.declarations import STUBS


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.name)
def test_the_stubs_are_up_to_date(path: Path) -> None:
    assert path.read_text() == STUBS[path](), f"{path.name} is out of date: run `python -m tests.declarations`"
