"""The command ``ndgrad``: its demo, its help, and its answers to mistakes. ``ndgrad run`` has a file of its own."""

import gzip
import os
import re
import subprocess
import sys
import time
from importlib import resources

import numpy as np
import pytest

from ndgrad.cli import digits
from ndgrad.cli.command_line import main


def command(*arguments, encoding="utf-8"):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "ndgrad", *arguments], env=environment, capture_output=True, encoding=encoding, timeout=120
    )


@pytest.fixture(scope="module")
def demo():
    return command("demo")


def test_the_demo_learns_to_read(demo):
    assert demo.returncode == 0, demo.stderr
    accuracy = re.search(r"(\d+\.\d)% of 599 digits that it had never seen are read correctly \((\d+) wrong\)", demo.stdout)
    assert accuracy is not None and float(accuracy[1]) > 97.0
    assert float(accuracy[1]) == round(100 * (1 - int(accuracy[2]) / 599), 1)


def test_the_demo_shows_progress_and_the_loss(demo):
    assert "60/60" in demo.stderr and re.search(r"loss \d\.\d{4}", demo.stderr)
    losses = [float(loss) for loss in re.findall(r"loss (\d\.\d{4})", demo.stderr)]
    assert losses[-1] < 0.3 * losses[0]


def test_the_demo_draws_digits_with_their_predictions(demo):
    lines = demo.stdout.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert any(set(line) <= set(digits.QUARTERS) and line.strip() for line in lines)
    captions = next(line for line in lines if "✓" in line)
    assert re.findall(r"✓ (\d)", captions) == ["0", "2", "4", "6", "8"]
    assert all(label != read for label, read in re.findall(r"✗ (\d) read as (\d)", demo.stdout))


def test_the_demo_says_what_to_try_next(demo):
    assert "ndgrad demo --seed 1" in demo.stdout and "ndgrad run" in demo.stdout


def test_the_demo_ends_in_time():
    began = time.monotonic()
    assert command("demo", "--quiet", "--epochs", "20").returncode == 0
    # A third of the passes: the ten seconds of the whole are generous, so that a busy machine does not fail this.
    assert time.monotonic() - began < 10


def test_quiet_prints_the_accuracy_only():
    result = command("demo", "--quiet", "--epochs", "2")
    assert result.stderr == ""
    assert re.fullmatch(r"\d+\.\d% of 599 digits that it had never seen are read correctly\n", result.stdout)


def test_the_seed_decides_everything():
    first, again, other = (command("demo", "--quiet", "--epochs", "1", "--seed", seed).stdout for seed in ("3", "3", "4"))
    assert first == again != other


def test_the_demo_on_a_terminal_without_unicode():
    result = command("demo", "--epochs", "1", encoding="ascii")
    assert result.returncode == 0, result.stderr
    assert re.search(r"\+ 0 ", result.stdout)


def test_the_digits_are_those_of_the_data_set():
    images, labels = digits.load_digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.float32 and labels.dtype == np.int64
    assert (images.min(), images.max()) == (0, 16)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # The first line of the data set: a zero.
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0] and labels[0] == 0


def test_the_data_is_small_and_attributed():
    data = resources.files("ndgrad.cli.data")
    packed = data.joinpath("digits.csv.gz").read_bytes()
    assert len(packed) < 100_000 and len(gzip.decompress(packed).splitlines()) == 1797
    notice = data.joinpath("LICENSE.txt").read_text()
    assert all(words in notice for words in ("Alpaydin", "Kaynak", "CC BY 4.0", "UCI Machine Learning Repository"))


def test_drawing_a_digit():
    image = np.zeros((8, 8), dtype=np.float32)
    image[:, :4] = 16
    assert digits.draw_digit(image, unicode=True) == ["███████       "] * 8
    shaded = digits.draw_digit(image, unicode=False)
    assert len(shaded) == 8 and all(line.startswith("####") and line.endswith("    ") for line in shaded)
    empty = digits.draw_digit(image * 0, unicode=True)
    assert empty == [" " * digits.COLUMNS] * digits.LINES


@pytest.mark.parametrize(("old", "new"), [(8, 16), (8, 28), (8, 14), (8, 8), (16, 8)])
def test_enlarging_keeps_what_is_even(old, new):
    matrix = digits.interpolation(old, new)
    assert matrix.shape == (new, old)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    np.testing.assert_allclose(matrix @ np.full(old, 3.0), 3.0)


def test_help(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "demo" in shown and "run" in shown
    for arguments in (["--help"], ["demo", "--help"], ["run", "--help"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert "usage: ndgrad" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert re.match(r"ndgrad ", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dance"], "dance"),
        (["demo", "--seed", "x"], "--seed"),
        (["demo", "--epochs", "0"], "must be at least 1, not 0"),
        (["demo", "--epochs", "many"], "--epochs"),
        (["demo", "extra"], "extra"),
    ],
)
def test_mistakes_are_explained_with_exit_code_2(capsys, arguments, words):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert words in capsys.readouterr().err
