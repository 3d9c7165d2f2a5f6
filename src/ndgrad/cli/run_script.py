"""``ndgrad run``: run a program written for PyTorch as ``python`` runs it, with ndgrad in torch's place."""

import builtins
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import util
from importlib.machinery import BuiltinImporter, PathFinder, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn

import ndgrad
from ndgrad import compat

CLI_DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


class Stopped(BaseException):
    """Raised inside the program by a command that has seen enough: the program ends, and nothing is wrong."""


class CannotRun(Exception):
    """The program cannot be started: the text is for the person who typed the command."""


def run_command(arguments: Sequence[str], usage_error: Callable[[str], NoReturn]) -> int:
    """Run ``SCRIPT ARGS...`` or ``-m MODULE ARGS...`` as ``__main__`` of this process; its exit code, as python's, is the result."""
    target, rest = arguments[0], list(arguments[1:])
    try:
        compat.install_as_torch()
    except RuntimeError as error:  # something imports torch as the interpreter starts
        print(f"ndgrad run: {error}", file=sys.stderr)
        return 2
    main_module = ModuleType("__main__")
    main_module.__dict__.update(__builtins__=builtins, __annotations__={}, __cached__=None)
    # The module that was __main__ so far must outlive the program: clearing it would clear this command's own globals.
    launcher = sys.modules["__main__"]
    sys.modules["__main__"] = main_module
    try:
        if target == "-m":
            if not rest:
                usage_error("argument -m: expected a module name")
            code = prepare_module(main_module, rest[0], rest[1:])
        elif target == "-":
            code = prepare_stdin(main_module, rest)
        elif target.startswith("-"):
            usage_error(f"unrecognized option before SCRIPT: {target}")
        elif os.path.isdir(target) or is_zip(target):
            code = prepare_archive(main_module, target, rest)
        else:
            code = prepare_script(main_module, target, rest)
    except CannotRun as error:
        sys.modules["__main__"] = launcher
        print(f"ndgrad run: {error}", file=sys.stderr)
        return 2
    except SyntaxError as error:
        return report(error)
    try:
        exec(code, main_module.__dict__)
    except SystemExit:
        raise
    except Stopped:
        return 0
    except BaseException as error:
        return report(error)
    return 0


def prepare_script(main_module: ModuleType, script: str, arguments: list[str]) -> CodeType:
    path = os.path.join(os.getcwd(), script)  # as python does: absolute, and otherwise as it was typed
    main_module.__file__ = path
    main_module.__loader__ = SourceFileLoader("__main__", path)
    main_module.__package__ = None
    set_command_line([script, *arguments], os.path.dirname(os.path.realpath(path)))
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        raise CannotRun(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}") from error
    return compile(source, path, "exec", dont_inherit=True)


def prepare_stdin(main_module: ModuleType, arguments: list[str]) -> CodeType:
    main_module.__file__ = "<stdin>"
    main_module.__loader__ = BuiltinImporter
    main_module.__package__ = None
    set_command_line(["-", *arguments], "")
    return compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True)


def prepare_archive(main_module: ModuleType, path: str, arguments: list[str]) -> CodeType:
    directory = os.path.join(os.getcwd(), path)
    set_command_line([path, *arguments], directory)
    spec = PathFinder.find_spec("__main__", [directory])
    if spec is None:
        raise CannotRun(f"can't find '__main__' module in {path!r}")
    return code_of(main_module, spec, "__main__")


def prepare_module(main_module: ModuleType, name: str, arguments: list[str]) -> CodeType:
    set_command_line(["-m", *arguments], os.getcwd())
    try:
        spec = util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name += ".__main__"
            spec = util.find_spec(name)
    except (ModuleNotFoundError, ValueError) as error:
        raise CannotRun(f"error while finding module {name!r}: {error}") from error
    if spec is None:
        raise CannotRun(f"no module named {name!r}")
    code = code_of(main_module, spec, name)
    if spec.origin is not None:
        sys.argv[0] = spec.origin
    return code


def code_of(main_module: ModuleType, spec: Any, name: str) -> CodeType:
    get_code = getattr(spec.loader, "get_code", None)
    code: CodeType | None = get_code(name) if get_code is not None else None
    if code is None:
        raise CannotRun(f"no code object available for {name!r}")
    main_module.__spec__ = spec
    main_module.__file__ = spec.origin
    main_module.__loader__ = spec.loader
    main_module.__package__ = spec.parent
    main_module.__dict__["__cached__"] = spec.cached
    return code


def is_zip(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def set_command_line(argv: list[str], first_path: str) -> None:
    """Set ``sys.argv`` and put the program's directory where the interpreter had put this command's."""
    sys.argv[:] = argv
    if not sys.flags.safe_path:
        sys.path[:1] = [first_path]


def report(error: BaseException) -> int:
    """Show an uncaught exception as the interpreter would, without the frames of this command, and return the exit code."""
    explain_missing_attribute(error)
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(CLI_DIRECTORY):
        traceback = traceback.tb_next
    error.__traceback__ = traceback
    drop_finder_frames(error)
    sys.excepthook(type(error), error, error.__traceback__)
    if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # As python: whoever started the process must see that it ended by the interrupt, not by a failure of its own.
        sys.excepthook = lambda *unused: None
        raise error
    return 1


def explain_missing_attribute(error: BaseException) -> None:
    """Name an attribute that a tensor (or another of ndgrad's objects) lacks as torch's, with the line that asked."""
    if type(error) is not AttributeError or isinstance(error.obj, ModuleType) or not error.name or error.__traceback__ is None:
        return
    kind = error.obj if isinstance(error.obj, type) else type(error.obj)
    if kind.__module__.partition(".")[0] != ndgrad.__name__ or getattr(ndgrad, kind.__name__, None) is not kind:
        return
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    where = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}"
    error.args = (f"torch.{kind.__name__}.{error.name} is not in ndgrad (asked for at {where})",)


def drop_finder_frames(error: BaseException) -> None:
    """Take the frames of the finder and of the import system out of the tracebacks of this exception and of those it came from."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = without_finder_frames(current.__traceback__)
        pending += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            pending += current.exceptions


def without_finder_frames(traceback: TracebackType | None) -> TracebackType | None:
    entries: list[TracebackType] = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    if not any(entry.tb_frame.f_code.co_filename == compat.__file__ for entry in entries):
        return entries[0] if entries else None
    kept: TracebackType | None = None
    for entry in reversed(entries):
        frame = entry.tb_frame
        if frame.f_code.co_filename != compat.__file__ and not compat.of_import_system(frame):
            kept = TracebackType(kept, frame, entry.tb_lasti, entry.tb_lineno)
    return kept
