"""Answer ``import torch`` with ndgrad, in this process.

A finder at the head of ``sys.meta_path`` maps ``torch`` and ``torch.x.y`` to the *same module objects* as ``ndgrad`` and
``ndgrad.x.y``, so that a class has one identity whichever name it was imported by.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from opcode import opmap
from types import FrameType, ModuleType
from typing import Any

OURS = __name__.rpartition(".")[0]
THEIRS = "torch"

# Packages of the implementation: torch has no module of these names, or one that means something else.
PRIVATE = frozenset({"base", "cli", "compat", "core", "kernels", "ops", "viz", "__main__"})

IMPORT_FROM = opmap["IMPORT_FROM"]


def install_as_torch() -> None:
    """Make ``import torch`` and its submodules mean ndgrad from here on.

    Calling it again does nothing. It does not reach into other processes.

    Raises
    ------
    RuntimeError
        If the real torch was imported already: both would then be in use side by side.
    """
    if any(isinstance(finder, TorchFinder) for finder in sys.meta_path):
        return
    imported = sys.modules.get(THEIRS)
    if imported is not None and imported is not sys.modules[OURS]:
        origin = getattr(imported, "__file__", None) or "an unknown place"
        raise RuntimeError(
            f"install_as_torch() must be called before torch is imported for the first time; it was already imported from {origin}. "
            "Call ndgrad.install_as_torch() at the top of the program."
        )
    sys.meta_path.insert(0, TorchFinder())
    for name, module in list(sys.modules.items()):
        if is_public(name):
            answer_as_torch(name, module)


def is_public(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == OURS and (len(parts) == 1 or parts[1] not in PRIVATE)


def torch_name(name: str) -> str:
    return THEIRS + name[len(OURS) :]


def answer_as_torch(name: str, module: ModuleType) -> None:
    """Enter ``module``, known as ``name`` in ndgrad, under its torch name, and let its missing names say so."""
    sys.modules[torch_name(name)] = module
    own = module.__dict__.get("__getattr__")
    if isinstance(own, MissingName):
        return
    # A module-level __getattr__, not a subclass of ModuleType: the interpreter's cached attribute reads stay as fast as they were.
    module.__dict__["__getattr__"] = MissingName(name, module, own)


class MissingName:
    """The ``__getattr__`` of a module that is known as torch's: asked only for what the module lacks."""

    def __init__(self, name: str, module: ModuleType, own: Any) -> None:
        self.name = name
        self.module = module
        self.own = own

    def __call__(self, attribute: str) -> Any:
        if self.own is not None:
            try:
                return self.own(attribute)
            except AttributeError:
                pass
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(f"module {self.name!r} has no attribute {attribute!r}", name=attribute, obj=self.module)
        submodule = find_module(f"{self.name}.{attribute}") if hasattr(self.module, "__path__") else None
        if submodule is not None:
            return submodule
        message = missing_message(f"{torch_name(self.name)}.{attribute}")
        # `from torch import name` turns an AttributeError into an ImportError with a text of its own; any other
        # exception passes through. Only the instruction that asks tells the two ways of asking apart.
        if is_from_import(sys._getframe(1)):
            raise ImportError(message, name=torch_name(self.name), path=getattr(self.module, "__file__", None))
        raise AttributeError(message, name=attribute, obj=self.module)


def is_from_import(frame: FrameType) -> bool:
    return 0 <= frame.f_lasti < len(frame.f_code.co_code) and frame.f_code.co_code[frame.f_lasti] == IMPORT_FROM


class TorchFinder:
    """The finder of ``sys.meta_path`` that knows ``torch`` and everything below it, and nothing else."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        head, dot, tail = fullname.partition(".")
        if head != THEIRS:
            return None
        name = OURS + dot + tail
        module = find_module(name)
        if module is None:
            # importlib.util.find_spec is how a program asks whether a module is there: None is the answer, not an error.
            # A private package must not be offered to the finders that follow: they would load it a second time.
            if asked_by_find_spec(sys._getframe(1)) and is_public(name):
                return None
            raise ModuleNotFoundError(missing_message(fullname), name=fullname)
        loader: Any = SameModule(name, module)
        return ModuleSpec(fullname, loader, origin=getattr(module, "__file__", None), is_package=hasattr(module, "__path__"))


def asked_by_find_spec(frame: FrameType | None) -> bool:
    while frame is not None and of_import_system(frame):
        if frame.f_globals.get("__name__") == "importlib.util":
            return True
        frame = frame.f_back
    return False


class SameModule:
    """A loader that hands over a module which is loaded already.

    It enters the module under its torch name only now: had the finder done so, the import system would have loaded it once more.
    """

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name = name
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has just overwritten it with the spec of the torch name
        answer_as_torch(self.name, module)


def find_module(name: str) -> ModuleType | None:
    """The public ndgrad module of this name, imported if need be; None where there is none."""
    if not is_public(name):
        return None
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise  # ndgrad's own module is there, and something that it needs is not
    parent, _, attribute = name.rpartition(".")
    found = vars(sys.modules[parent]).get(attribute) if parent in sys.modules else None
    return found if isinstance(found, ModuleType) else None


def missing_message(name: str) -> str:
    filename, line = asking_line(sys._getframe(1))
    return f"{name} is not in ndgrad (asked for at {filename}:{line})"


def asking_line(frame: FrameType | None) -> tuple[str, int]:
    """File and line of the nearest frame that is neither this module's nor the import system's."""
    while frame is not None and (frame.f_code.co_filename == __file__ or of_import_system(frame)):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame else ("<unknown>", 0)


def of_import_system(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] in ("importlib", "_frozen_importlib", "_frozen_importlib_external")
