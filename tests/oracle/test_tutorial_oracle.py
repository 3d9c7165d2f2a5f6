"""The tutorial under torch itself: the golden text is what torch prints, and ndgrad prints the same."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TUTORIAL = ROOT / "examples" / "autograd_tutorial.py"
GOLDEN = ROOT / "tests" / "golden" / "autograd_tutorial.txt"


def printed(*command):
    result = subprocess.run([sys.executable, *command, str(TUTORIAL)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return re.sub(r"0x[0-9a-f]+", "0x...", result.stdout)


def test_torch_ndgrad_and_the_golden_text_agree():
    by_torch = printed()
    assert by_torch == GOLDEN.read_text()
    assert printed("-m", "ndgrad", "run") == by_torch
