"""The short examples: each prints what it is to print, and those that say `import torch` print under `ndgrad run` what torch prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What each example prints: under torch 2.13.0, and tests/oracle prints it anew; or what torch cannot do, for those in OWN. The tutorial has
# tests of its own.
GOLDEN = ROOT / "tests" / "golden" / "examples"
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "autograd_tutorial")
TIMES = r"takes (\d+\.\d) times as long"
OWN = [path for path in EXAMPLES if "import ndgrad as torch" in path.read_text().splitlines()]
each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def without_times(text):
    """What was printed, without how many times as long something took."""
    return re.sub(TIMES, "", text)


@each
def test_an_example_prints_what_it_is_to_print(path, tmp_path):
    result = subprocess.run(
        [sys.executable, *(() if path in OWN else ("-m", "ndgrad", "run")), str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert without_times(result.stdout) == without_times((GOLDEN / f"{path.stem}.txt").read_text())
    assert all(float(times) > 2 for times in re.findall(TIMES, result.stdout))


@each
def test_an_example_is_short_says_torch_and_stands_in_the_readme(path):
    lines = path.read_text().splitlines()
    assert len(lines) < 60
    if path not in OWN:
        assert "import torch" in lines
        assert not any("ndgrad" in line for line in lines[lines.index("import torch") :])
    assert f"examples/{path.name}" in (ROOT / "README.md").read_text()


def test_every_golden_text_has_its_example():
    assert sorted(path.stem for path in GOLDEN.iterdir()) == [path.stem for path in EXAMPLES]


def test_the_golden_texts_have_what_the_examples_show():
    """The files under test must not shrink unnoticed: what each of them is there to show leaves its words here."""
    for stem, words in {
        "checkpointing": "the gradients are the same to the last bit: True",
        "custom_functions": "first and second derivatives: True True",
        "curve_fit": "as many counts expected as seen: True",
        "custom_rule": "Bessel's equation, x^2 y'' + x y' + x^2 y = 0: True",
        "gradient_penalty": "the last weight: True and on the last bias: False",
        "hunting_nan": "Function 'SqrtBackward0' returned nan values in its 0th output.",
        "implicit_equilibrium": "the same by hand: True",
        "local_energy": "decay 1.0: energy -0.500, exact -0.500, within four errors: True, spread 0.000",
        "maml_regression": "3.99 3.93 3.78\nand after learning to learn: 3.21 0.66 0.25",
        "model_ensembling": "other batches: [6, 40, 1], like the loop's: True",
        "neural_tangent_kernel": "symmetric: True  smallest eigenvalue positive: True",
        "normal_modes": "the forces' Jacobian is minus the Hessian: True",
        "per_sample_gradients": "[64, 5, 32]  like the loop's: True",
        "physics_informed_network": "largest error against the closed form below 1e-3: True",
        "sparse_newton": "largest difference from forward mode below 1e-12: True",
        "taylor_kepler": "after 20 steps: x =  0.7000, y =  0.0000, right to 1e-6: True",
        "truncated_bptt": "at time 12: Trying to backward through the graph a second time",
    }.items():
        assert words in (GOLDEN / f"{stem}.txt").read_text()
