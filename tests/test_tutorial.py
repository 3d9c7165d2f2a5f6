"""PyTorch's autograd tutorial, unchanged: every line that it prints under ndgrad is the line that it prints under torch."""

import contextlib
import io
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import ndgrad

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "examples" / "autograd_tutorial.py"
# What the file prints under torch 2.13.0, with the addresses of objects left out; tests/oracle prints it anew.
GOLDEN = ROOT / "tests" / "golden" / "autograd_tutorial.txt"


def without_addresses(text):
    return re.sub(r"0x[0-9a-f]+", "0x...", text)


def run_in_process(monkeypatch, path):
    """What a script prints, with `import torch` answered by ndgrad, in this process."""
    monkeypatch.setitem(sys.modules, "torch", ndgrad)
    program = types.ModuleType("__main__")
    program.__file__ = str(path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(path.read_text(), path, "exec"), program.__dict__)
    return printed.getvalue()


def sections(text):
    """The output cut at its underlined headings, so that a failure names the part."""
    parts = re.split(r"\n(.+)\n-+\n", "\n" + text.lstrip("\n"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


EXPECTED = sections(GOLDEN.read_text())


@pytest.mark.parametrize("heading", EXPECTED)
def test_a_section_prints_what_it_prints_under_torch(monkeypatch, heading):
    printed = sections(without_addresses(run_in_process(monkeypatch, TUTORIAL)))
    assert list(printed) == list(EXPECTED)
    assert printed[heading] == EXPECTED[heading]


def test_ndgrad_run_prints_the_same(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "ndgrad", "run", str(TUTORIAL)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert without_addresses(result.stdout) == GOLDEN.read_text()


def test_the_golden_text_has_what_the_tutorial_shows():
    """The file under test must not shrink unnoticed: each thing that the tutorial demonstrates leaves its words here."""
    text = GOLDEN.read_text()
    for words in (
        "<BinaryCrossEntropyWithLogitsBackward0 object at",
        "<AddBackward0 object at",
        "w.grad = tensor([[0.2661, 0.1179, 0.0027],",
        "UserWarning: The .grad attribute of a Tensor that is not a leaf Tensor is being accessed",
        "RuntimeError: Trying to backward through the graph a second time",
        "under no_grad(): False",
        "detached:        False",
        "w is frozen",
        "SinBackward0",
        "second call, added to the first\ntensor([[8., 4., 4., 4., 4.],",
        "after zeroing the gradient\ntensor([[4., 2., 2., 2., 2.],",
        "backward() equals backward(torch.tensor(1.0)): True",
        "RuntimeError: grad can be implicitly created only for scalar outputs",
    ):
        assert words in text
