"""The short examples under torch itself: the golden texts are what torch prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "examples"
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "autograd_tutorial")
EXAMPLES = [path for path in EXAMPLES if "import torch" in path.read_text().splitlines()]  # the others do what torch cannot


def without_times(text):
    """What was printed, without how many times as long something took."""
    return re.sub(r"takes \d+\.\d times as long", "", text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_torch_prints_the_golden_text(path):
    result = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert without_times(result.stdout) == without_times((GOLDEN / f"{path.stem}.txt").read_text())
