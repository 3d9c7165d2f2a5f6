"""The examples of what PyTorch does not have: each prints what it should, and compares it with closed forms itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "beyond_torch"
EXAMPLES = sorted((ROOT / "examples" / "beyond_torch").glob("*.py"))
each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@each
def test_an_example_prints_the_golden_text(path, tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (GOLDEN / f"{path.stem}.txt").read_text()


@each
def test_an_example_is_short_checks_itself_and_stands_in_the_readme(path):
    lines = path.read_text().splitlines()
    assert len(lines) < 70 and "import ndgrad as torch" in lines
    text = (GOLDEN / f"{path.stem}.txt").read_text()
    assert "True" in text and "False" not in text
    assert f"examples/beyond_torch/{path.name}" in (ROOT / "README.md").read_text()


def test_every_golden_text_has_its_example():
    assert sorted(path.stem for path in GOLDEN.iterdir()) == [path.stem for path in EXAMPLES]
