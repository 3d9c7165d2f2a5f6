"""``ndgrad run`` beside ``python``: the same program must see the same world, and end the same way."""

import os
import re
import signal
import subprocess
import sys
import zipfile

import pytest

NDGRAD = [sys.executable, "-m", "ndgrad", "run"]
PYTHON = [sys.executable]


def run(command, directory, **options):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, **options)


def outcome(result):
    """What a person sees; the frames that `python -m` itself adds to a traceback are python's own."""
    without_runpy = re.sub(r'  File "<frozen runpy>".*\n', "", result.stderr)
    return result.returncode, re.sub(r"0x[0-9a-f]+", "0x", result.stdout), without_runpy


def same_as_python(arguments, directory, **options):
    ours, theirs = run(NDGRAD + arguments, directory, **options), run(PYTHON + arguments, directory, **options)
    assert outcome(ours) == outcome(theirs)
    return ours


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


WORLD = """
import os, sys
shown = {name: value for name, value in globals().items() if name not in ("os", "sys", "__builtins__", "__loader__")}
print(sorted(shown.items(), key=lambda item: item[0]))
print(type(__loader__).__name__, getattr(__loader__, "path", None), __builtins__.__name__)
print(sys.argv, sys.path[0], os.getcwd())
print(sys.modules["__main__"].__dict__ is globals())
"""


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--", "-m", "x"], ["--flag", "value with space", "-"]])
def test_the_script_sees_its_arguments_path_and_globals(tmp_path, arguments):
    write(tmp_path / "below" / "program.py", WORLD)
    result = same_as_python([os.path.join("below", "program.py"), *arguments], tmp_path)
    assert result.returncode == 0 and "__main__" in result.stdout


@pytest.mark.parametrize("path", ["./program.py", "below/../program.py"])
def test_the_path_of_the_script_stays_as_it_was_typed(tmp_path, path):
    (tmp_path / "below").mkdir()
    write(tmp_path / "program.py", WORLD + "1 / 0")
    assert same_as_python([path], tmp_path).returncode == 1


def test_a_linked_script_imports_from_where_it_is(tmp_path):
    write(tmp_path / "real" / "helper.py", "where = 'beside the real file'\n")
    script = write(tmp_path / "real" / "program.py", WORLD + "import helper; print(helper.where)")
    link = tmp_path / "link.py"
    link.symlink_to(script)
    assert "beside the real file" in same_as_python(["link.py"], tmp_path).stdout


def test_stdin_is_a_script(tmp_path):
    result = same_as_python(["-", "a", "b"], tmp_path, input=WORLD)
    assert "['-', 'a', 'b']" in result.stdout


def test_a_module_by_its_name(tmp_path):
    write(tmp_path / "package" / "__init__.py", "import sys; print('parent sees', sys.argv[0])\n")
    write(tmp_path / "package" / "program.py", WORLD)
    write(tmp_path / "package" / "__main__.py", "from . import other; print(__package__, __spec__.name, __name__)")
    write(tmp_path / "package" / "other.py", "print(__name__)")
    assert same_as_python(["-m", "package.program", "-m", "x"], tmp_path).returncode == 0
    assert "package package.__main__ __main__" in same_as_python(["-m", "package"], tmp_path).stdout


def test_a_directory_and_a_zip_file_with_a_main(tmp_path):
    write(tmp_path / "app" / "__main__.py", WORLD + "import part; print(part.name)")
    write(tmp_path / "app" / "part.py", "name = 'part'")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        for name in ("__main__.py", "part.py"):
            archive.write(tmp_path / "app" / name, name)
    for target in ("app", "app.zip"):
        assert "part" in same_as_python([target, "x"], tmp_path).stdout


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit(7)", 7),
        ("sys.exit()", 0),
        ("sys.exit('a message')", 1),
        ("raise SystemExit(3)", 3),
        ("atexit.register(print, 'at exit'); sys.exit(4)", 4),
        ("atexit.register(print, 'at exit'); 1 / 0", 1),
        ("os._exit(9)", 9),
        ("threading.Thread(target=lambda: (time.sleep(0.2), print('thread is done'))).start(); raise KeyError('x')", 1),
        ("sys.excepthook = lambda kind, error, trace: print('hooked', kind.__name__, trace.tb_lineno); 1 / 0", 1),
        ("sys.stderr.write('no newline'); raise ValueError('first line\\nsecond line')", 1),
        ("raise GeneratorExit('odd')", 1),
        ("import no_such_module_of_anybody", 1),
        ("object.no_such_attribute", 1),
        ("warnings.warn('old', DeprecationWarning)", 0),
    ],
)
def test_the_program_ends_as_under_python(tmp_path, ending, code):
    write(tmp_path / "program.py", f"import atexit, os, sys, threading, time, warnings\nprint('started', flush=True)\n{ending}\n")
    assert same_as_python(["program.py"], tmp_path).returncode == code


def test_tracebacks_have_no_frame_of_ours(tmp_path):
    write(
        tmp_path / "program.py",
        """
        def inner(value):
            return 1 / value

        class Failing:
            def method(self):
                try:
                    inner(0)
                except ZeroDivisionError as error:
                    error.add_note("a note")
                    raise RuntimeError("outer") from error

        try:
            Failing().method()
        except RuntimeError:
            raise ExceptionGroup("several", [ValueError("a"), KeyError("b")])
        """.replace("\n        ", "\n"),
    )
    assert "a note" in same_as_python(["program.py"], tmp_path).stderr


def test_a_recursion_error_is_shown_in_short(tmp_path):
    write(tmp_path / "program.py", "import sys\nsys.setrecursionlimit(200)\ndef f(): return f()\nf()\n")
    ours, theirs = run([*NDGRAD, "program.py"], tmp_path), run([*PYTHON, "program.py"], tmp_path)
    assert re.sub(r"repeated \d+", "repeated", ours.stderr) == re.sub(r"repeated \d+", "repeated", theirs.stderr)


@pytest.mark.parametrize("source", ["x = (1,\n", "print('a')\n  y = 2\n", "# coding: latin-1\nprint(ascii('\xe9'))\n"])
def test_source_that_does_not_compile_or_is_encoded(tmp_path, source):
    (tmp_path / "program.py").write_bytes(source.encode("latin-1"))
    same_as_python(["program.py"], tmp_path)


def test_a_syntax_error_in_an_imported_module(tmp_path):
    write(tmp_path / "broken.py", "def f(:\n")
    write(tmp_path / "program.py", "import broken\n")
    same_as_python(["program.py"], tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="signals that end a process are a matter of POSIX")
def test_an_interrupt_ends_the_process_by_the_signal(tmp_path):
    # a shell has the programs that it runs in the background ignore interrupts, and those pass that on
    listening = "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    write(tmp_path / "program.py", f"{listening}os.kill(os.getpid(), signal.SIGINT)\nprint('not reached')\n")
    assert same_as_python(["program.py"], tmp_path).returncode == -signal.SIGINT


def test_classes_of_the_script_pickle(tmp_path):
    write(
        tmp_path / "program.py",
        "import pickle, dataclasses\n"
        "@dataclasses.dataclass\n"
        "class Point:\n    x: int\n"
        "text = pickle.dumps(Point(3))\n"
        "print(pickle.loads(text), Point.__module__, b'__main__' in text)\n",
    )
    assert same_as_python(["program.py"], tmp_path).stdout == "Point(x=3) __main__ True\n"


def test_a_forked_worker_process_finds_the_script(tmp_path):
    write(
        tmp_path / "program.py",
        "import multiprocessing, sys\n"
        "def square(value):\n    return value * value\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(pool.map(square, [1, 2, 3]))\n",
    )
    assert same_as_python(["program.py"], tmp_path).stdout == "[1, 4, 9]\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["missing.py"], "can't open file"),
        (["empty"], "can't find '__main__' module in 'empty'"),
        (["-m", "no_such_module_of_anybody"], "no module named 'no_such_module_of_anybody'"),
        (["-m", "nowhere.to.be.found"], "'nowhere.to.be.found'"),
        (["-m"], "expected a module name"),
        (["--bogus", "x.py"], "--bogus"),
        ([], "SCRIPT"),
    ],
)
def test_what_cannot_be_started_is_one_line_and_exit_code_2(tmp_path, arguments, text):
    (tmp_path / "empty").mkdir()
    result = run(NDGRAD + arguments, tmp_path)
    assert result.returncode == 2 and result.stdout == ""
    assert text in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_the_working_directory_is_not_a_place_to_import_from(tmp_path):
    write(tmp_path / "colorsys.py", "raise RuntimeError('shadowed')\n")  # of the standard library, and nobody here needs it
    write(tmp_path / "below" / "program.py", "import colorsys\nprint(colorsys.rgb_to_hsv(0, 0, 0))\n")
    result = same_as_python([os.path.join("below", "program.py")], tmp_path)
    assert (result.returncode, result.stdout) == (0, "(0.0, 0.0, 0)\n")


def test_help_of_run_is_ours_and_help_of_the_script_is_its_own(tmp_path):
    write(tmp_path / "program.py", "import argparse\np = argparse.ArgumentParser()\np.add_argument('--rate')\nprint(p.parse_args())\n")
    assert "ndgrad run" in run([*NDGRAD, "--help"], tmp_path).stdout
    assert "usage: program.py [-h] [--rate RATE]" in same_as_python(["program.py", "--help"], tmp_path).stdout
    assert same_as_python(["program.py", "--rate", "3"], tmp_path).stdout == "Namespace(rate='3')\n"
    assert same_as_python(["program.py", "--unknown"], tmp_path).returncode == 2
