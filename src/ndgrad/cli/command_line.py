"""The command line: what ``ndgrad`` and ``python -m ndgrad`` do."""

import argparse
import sys
from collections.abc import Sequence

import ndgrad
from ndgrad.cli import demonstration, draw_script, run_script


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (``sys.argv`` by default) and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser, run_parser, graph_parser = build_parsers()
    # What follows the script belongs to the script, "--" and "-h" too; argparse would take its share.
    if arguments[:1] == ["run"] and arguments[1:] and not wants_help(arguments[1]):
        return run_script.run_command(arguments[1:], run_parser.error)
    if arguments[:1] == ["graph"] and arguments[1:] and not wants_help(arguments[1]):
        return draw_script.draw_command(arguments[1:], graph_parser)
    options = parser.parse_args(arguments)
    if options.command == "demo":
        return demonstration.run_demo(seed=options.seed, epochs=options.epochs, quiet=options.quiet)
    parser.print_help()
    return 0


def wants_help(argument: str) -> bool:
    return argument in ("-h", "--help")


def build_parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser, argparse.ArgumentParser]:
    """The parser of the command line, and those of the commands that run a program."""
    parser = argparse.ArgumentParser(prog="ndgrad", description="PyTorch's autograd engine in pure Python on NumPy.")
    parser.add_argument("--version", action="version", version=f"ndgrad {ndgrad.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    demo = commands.add_parser(
        "demo",
        help="train a small network on handwritten digits, in a few seconds",
        description="Train a small multilayer perceptron on 1,797 handwritten digits and show what it learned.",
    )
    demo.add_argument("--seed", type=int, default=0, help="seed of every random choice (default: %(default)s)")
    demo.add_argument(
        "--epochs", type=positive, default=demonstration.EPOCHS, metavar="N", help="passes over the training data (default: %(default)s)"
    )
    demo.add_argument("--quiet", action="store_true", help="print the accuracy only")

    run = commands.add_parser(
        "run",
        usage="ndgrad run [-h] SCRIPT [ARGS...]\n       ndgrad run -m MODULE [ARGS...]",
        help="run a script written for PyTorch, with `import torch` answered by ndgrad",
        description="Run a script written for PyTorch as python would, with `import torch` and its submodules answered by ndgrad, "
        "whether or not torch is installed.",
    )
    run.add_argument("script", metavar="SCRIPT", help="path of the script, of a directory or zip file with a __main__.py, or - for stdin")
    run.add_argument("args", metavar="ARGS", nargs="*", help="its arguments: sys.argv[1:]")
    run.add_argument("-m", dest="module", metavar="MODULE", help="run a module by its name, as python -m does")

    draw = commands.add_parser(
        "graph",
        usage=draw_script.USAGE,
        help="draw the graph of the first backward of a script",
        description=draw_script.DESCRIPTION,
    )
    draw_script.add_options(draw)
    return parser, run, draw


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number
