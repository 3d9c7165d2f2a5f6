"""``ndgrad graph``: run a program as ``ndgrad run`` does and draw the graph of its first backward."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ndgrad.base.location import users_frame
from ndgrad.cli.run_script import Stopped, run_command
from ndgrad.viz.drawing import Drawing, format_of, graph
from ndgrad.viz.observing import first_backward

USAGE = (
    "ndgrad graph [-h] [-o FILE] [--unfolded] [--saved] [--keep-going] SCRIPT [ARGS...] [-o FILE]\n"
    "       ndgrad graph ... -m MODULE [ARGS...]"
)
DESCRIPTION = (
    "Run a script written for PyTorch as `ndgrad run` does, draw the graph of its first backward (or autograd.grad), and stop it there. "
    "Without -o a tree is printed when the script has stopped."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command, which stand before SCRIPT; what follows SCRIPT is the script's own, but for a last -o FILE."""
    parser.add_argument("-o", "--output", metavar="FILE", help="write a picture: .html, .svg, .txt, .mmd or .dot (may also come last)")
    parser.add_argument("--unfolded", action="store_true", help="draw every repetition of a repeated block")
    parser.add_argument("--saved", action="store_true", help="draw saved tensors as boxes of their own")
    parser.add_argument("--keep-going", action="store_true", help="let the script run to its end after its first backward")
    parser.add_argument("script", metavar="SCRIPT", help="as for ndgrad run")
    parser.add_argument("args", metavar="ARGS", nargs="*", help="its arguments: sys.argv[1:]")


def draw_command(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Carry out ``ndgrad graph`` and return its exit code: the script's own, or 1 if it ran no backward."""
    given = list(arguments)
    leading: list[str] = []
    while given and given[0].startswith("-") and given[0] not in ("-", "-m"):
        taken = 2 if given[0] in ("-o", "--output") else 1
        leading += given[:taken]
        del given[:taken]
    if len(given) > 2 and given[-2] in ("-o", "--output"):
        leading += given[-2:]
        del given[-2:]
    options = parser.parse_args([*leading, "--", *given[:1]])
    if options.output is not None:
        try:
            format_of(options.output)
        except ValueError as error:
            parser.error(str(error))
    drawings: list[Drawing] = []

    def before(roots: list[Any]) -> Callable[[], None]:
        name = given[1] if given[0] == "-m" else given[0]
        drawing = graph(
            roots, frame=users_frame(), fold=not options.unfolded, saved=options.saved, title=f"First backward of {os.path.basename(name)}"
        )
        drawings.append(drawing)

        def after() -> None:
            drawing.refresh()
            if not options.keep_going:
                raise Stopped

        return after

    try:
        with first_backward(before):
            code = run_command(given, parser.error)
    finally:  # of a program that ends itself with sys.exit as well
        for drawing in drawings:
            deliver(drawing, options.output)
    if not drawings:
        print("ndgrad graph: the script ran no backward, so there is nothing to draw", file=sys.stderr)
        return code or 1
    return code


def deliver(drawing: Drawing, output: str | None) -> None:
    """Print the tree, or write the file and say so."""
    if output is None:
        print(drawing)
        return
    drawing.save(output)
    print(f"ndgrad graph: {output}: {drawing.picture.summary}", file=sys.stderr)
