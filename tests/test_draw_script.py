"""``ndgrad graph``: which backward is drawn, what the script sees, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import ndgrad as torch
from ndgrad.autograd import gradients
from ndgrad.viz.observing import first_backward

SCRIPT = """
import sys, torch

class Model:
    def __init__(self):
        self.weight = torch.ones(3, requires_grad=True)

    def loss(self, scale):
        hidden = torch.exp(self.weight * scale)
        return hidden.sum()

def train(model):
    for step in range(3):
        loss = model.loss(step + 1.0)
        loss.backward()
        print("step", step)

try:
    print("arguments", sys.argv[1:])
    train(Model())
    sys.exit(5)
finally:
    print("cleaned up")
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(SCRIPT)
    return path


def run(directory, *arguments):
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "ndgrad", "graph", *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120)


def test_the_first_backward_is_drawn_and_the_script_stops_there(script, tmp_path):
    done = run(tmp_path, "program.py", "a", "-o", "b", "c")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:3] == ["arguments ['a', '-o', 'b', 'c']", "cleaned up", "3 nodes, 1 leaf, 12 bytes saved"]
    assert "● loss = Sum" in lines[3] and "program.py:10" in lines[3]
    assert "Exp" in lines[4] and "saves 12 bytes" in lines[4]
    assert "○ model.weight" in lines[6] and "|grad| 4.71" in lines[6]


@pytest.mark.parametrize("arguments", [["-o", "out.svg", "program.py", "x"], ["program.py", "x", "--output", "out.svg"]])
def test_a_file_gets_the_picture(script, tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert done.returncode == 0 and "arguments ['x']" in done.stdout and "out.svg: 3 nodes" in done.stderr
    assert "First backward of program.py" in (tmp_path / "out.svg").read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "out.svg")


def test_the_script_may_go_on_to_its_own_end(script, tmp_path):
    done = run(tmp_path, "--keep-going", "--unfolded", "--saved", "program.py", "-o", "out.html")
    assert done.returncode == 5 and done.stdout.splitlines()[1:] == ["step 0", "step 1", "step 2", "cleaned up"]
    assert (tmp_path / "out.html").read_text(encoding="utf-8").count('"label":"loss = Sum"') == 1


def test_autograd_grad_counts_as_well(tmp_path):
    (tmp_path / "program.py").write_text("import torch\nx = torch.ones(2, requires_grad=True)\ntorch.autograd.grad((x * x).sum(), x)\n")
    done = run(tmp_path, "program.py")
    assert done.stdout.startswith("2 nodes, 1 leaf") and "○ x" in done.stdout


def test_a_script_without_a_backward_is_told_so(tmp_path):
    (tmp_path / "program.py").write_text("print('nothing here')\n")
    done = run(tmp_path, "program.py")
    assert (done.returncode, done.stdout) == (1, "nothing here\n") and "ran no backward" in done.stderr


def test_a_backward_that_fails_is_drawn_and_its_error_shown(tmp_path):
    lines = ["import torch", "x = torch.ones(2, requires_grad=True)", "y = x.exp()", "y.add_(1)", "y.sum().backward()"]
    (tmp_path / "program.py").write_text("\n".join(lines))
    done = run(tmp_path, "program.py")
    assert done.returncode == 1 and "modified by an inplace operation" in done.stderr and "Exp" in done.stdout


@pytest.mark.parametrize("arguments", [["program.py", "-o", "out.png"], ["--no-such-option", "program.py"], []])
def test_a_wrong_command_line_is_refused_before_the_script_runs(script, tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert done.returncode == 2 and done.stdout == "" and "ndgrad graph: error:" in done.stderr


def test_help_says_that_the_script_stops(tmp_path):
    assert "and stop it there" in " ".join(run(tmp_path, "--help").stdout.split())


def test_looking_at_a_backward_leaves_the_engine_as_it_was():
    usual = gradients.run_backward
    seen = []
    a = torch.ones(2, requires_grad=True)
    with first_backward(lambda edges: seen.append(len(edges)) or (lambda: seen.append("after"))):
        a.sum().backward()
        assert gradients.run_backward is usual
        a.sum().backward()
    assert seen == [1, "after"] and a.grad.tolist() == [2.0, 2.0]
    with pytest.raises(ZeroDivisionError), first_backward(lambda edges: lambda: None):
        raise ZeroDivisionError
    assert gradients.run_backward is usual
