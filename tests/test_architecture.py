"""The layers of the package, kept by a machine: who may import whom, how long a file may get, what a comment owes its reader."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import ndgrad
from ndgrad.ops.declare import table

ROOT = Path(__file__).parent.parent
PACKAGE = Path(ndgrad.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
REPOSITORY = [path for folder in (PACKAGE, ROOT / "tests", ROOT / "benchmarks") for path in sorted(folder.rglob("*.py"))]

BELOW_AUTOGRAD = frozenset({"base", "kernels", "core", "ops"})
EVERYTHING = frozenset(
    {*BELOW_AUTOGRAD, "autograd", "backends", "cuda", "func", "nn", "optim", "utils", "testing", "viz", "compat", "cli"}
    | {"linalg", "profiler", "random", "special"}
)
#: What each part may import besides itself. Modules that stand alone in the package are the public face of what is below them.
ALLOWED: dict[str, frozenset[str]] = {
    "base": frozenset(),
    "kernels": frozenset({"base"}),
    "core": frozenset({"base"}),
    "ops": frozenset({"base", "kernels", "core"}),
    "autograd": BELOW_AUTOGRAD,
    "func": BELOW_AUTOGRAD | {"autograd", "nn"},
    "nn": BELOW_AUTOGRAD | {"autograd", "utils"},
    "optim": BELOW_AUTOGRAD | {"autograd", "utils"},
    "utils": BELOW_AUTOGRAD | {"autograd"},
    "viz": EVERYTHING - {"cli", "compat"},
    "testing": EVERYTHING - {"cli", "compat"},
    "cli": EVERYTHING,
    "compat": frozenset(),
}
#: The public face may be imported from above it only: the command line is a user of the package like any other.
USERS_OF_THE_FACE = frozenset({"cli", "__main__"})
#: Heavy packages that are imported where they are used, inside a function.
LAZY = frozenset({"scipy", "tqdm"})
LONGEST_FILE = 600
#: A docstring may have this many characters more than the code it describes: a line for the summary of a one-line function.
DOCSTRING_ALLOWANCE = 240


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: empty for the package's own face."""
    return module.split(".")[1] if "." in module else ""


TREES = {path: ast.parse(path.read_text(), str(path)) for path in SOURCES}
MODULES = {module_name(path): path for path in SOURCES}


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name for path in paths]


def imported(node: ast.AST, path: Path) -> list[str]:
    """The modules that an import statement names; `from ndgrad.core import node` names ndgrad.core.node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        package = module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
        base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def walk(tree: ast.AST, *, types: bool) -> Iterator[ast.AST]:
    """All nodes; without `types` those under `if TYPE_CHECKING` are left out."""
    for child in ast.iter_child_nodes(tree):
        if types or not is_type_checking(child):
            yield child
            yield from walk(child, types=types)


# ---------------------------------------------------------------- imports
@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_imports_point_downwards(path: Path) -> None:
    own = part_of(module_name(path))
    if own == "":
        return  # the face may import everything; test_nothing_imports_the_face sees to it that nothing comes back
    allowed = ALLOWED.get(
        own, BELOW_AUTOGRAD | {"autograd", "utils", "cli"} if own == "__main__" else BELOW_AUTOGRAD | {"autograd", "utils"}
    )
    for node in walk(TREES[path], types=True):
        for target in imported(node, path):
            if target.startswith("ndgrad.") and part_of(target) != own:
                assert part_of(target) in allowed, f"{path}:{getattr(node, 'lineno', 0)}: {own} may not import {target}"


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_nothing_imports_the_face(path: Path) -> None:
    own = part_of(module_name(path))
    if own in USERS_OF_THE_FACE or own == "":
        return
    for node in walk(TREES[path], types=True):
        assert "ndgrad" not in imported(node, path), f"{path}:{getattr(node, 'lineno', 0)}: import the module that defines the name"


def test_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        found: set[str] = set()
        for node in walk(TREES[path], types=False):
            found.update(target for target in imported(node, path) if target in MODULES)
        graph[module_name(path)] = found - {module_name(path)}
    done: set[str] = set()
    for start in graph:
        if start in done:
            continue
        trail: list[str] = [start]
        iterators = [iter(sorted(graph[start]))]
        while iterators:
            following = next(iterators[-1], None)
            if following is None:
                iterators.pop()
                done.add(trail.pop())
            elif following in trail:
                raise AssertionError("import cycle: " + " -> ".join([*trail[trail.index(following) :], following]))
            elif following not in done:
                trail.append(following)
                iterators.append(iter(sorted(graph[following])))


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_functions_import_only_heavy_packages(path: Path) -> None:
    for function in ast.walk(TREES[path]):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        for node in ast.walk(function):
            for target in imported(node, path):
                assert target.partition(".")[0] in LAZY, f"{path}: {function.lineno}: {target} is imported inside a function"


def test_importing_ndgrad_imports_no_heavy_package() -> None:
    code = f"import sys, ndgrad; print(sorted({{name.partition('.')[0] for name in sys.modules}} & {set(LAZY)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(PACKAGE.parent)})
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- files and names
@pytest.mark.parametrize("path", REPOSITORY, ids=ids(REPOSITORY))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_no_module_is_named_like_something_in_it(path: Path) -> None:
    defined = {node.name for node in TREES[path].body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert path.stem not in defined


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_no_list_of_operations_outside_the_table(path: Path) -> None:
    """What is known of an operation stands in its declaration; a second list of them somewhere else would have to agree with it."""
    if part_of(module_name(path)) == "ops" or path.parent == PACKAGE / "testing" / "samples":
        return
    for node in ast.walk(TREES[path]):
        elements = node.elts if isinstance(node, (ast.List, ast.Tuple, ast.Set)) else node.keys if isinstance(node, ast.Dict) else []
        words = [element.value for element in elements if isinstance(element, ast.Constant) and isinstance(element.value, str)]
        assert len(words) < 8 or not all(word in table for word in words), f"{path}: a list of operations: {words}"


# ---------------------------------------------------------------- comments and docstrings
MARK = re.compile(r"#\s*(?:noqa(?::\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*)?|(?:type|pyright):\s*ignore(?:\[[^\]]*\])?)(?P<reason>.*)$")


@pytest.mark.parametrize("path", REPOSITORY, ids=ids(REPOSITORY))
def test_every_silenced_warning_has_a_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = MARK.search(line)
        if found and "MARK = " not in line:
            reason = MARK.sub(lambda inner: inner["reason"], found["reason"])
            assert reason.strip("# "), f"{path}:{number}: say why, on the same line"


#: The modules whose names users write; the others are reached through them.
NAMES = ("", "autograd", "func", "linalg", "nn.functional", "nn.init", "nn.modules.module", "nn.utils", "profiler", "random", "testing")
NAMES += ("utils._pytree", "utils.checkpoint", "utils.hooks", "viz")
NAMES += tuple(
    f"autograd.{name}"
    for name in ("anomaly_mode", "function", "grad_mode", "gradcheck", "graph", "profiler", "profiler_util", "variable")
)
FACES = [f"ndgrad.{name}".rstrip(".") for name in NAMES]


def public_modules() -> Iterator[ModuleType]:
    for name in FACES:
        yield importlib.import_module(name)


def public_functions() -> dict[str, FunctionType]:
    """What users can call: functions of public modules, and the public methods of public classes."""
    found: dict[str, FunctionType] = {}
    for module in public_modules():
        for name, value in vars(module).items():
            if name.startswith("_") or not getattr(value, "__module__", "").startswith("ndgrad"):
                continue
            if isinstance(value, FunctionType):
                found[f"{module.__name__}.{name}"] = value
            elif inspect.isclass(value):
                for attribute, member in vars(value).items():
                    if isinstance(member, FunctionType) and not attribute.startswith("_"):
                        found[f"{module.__name__}.{name}.{attribute}"] = member
    return found


def test_every_public_function_has_a_docstring() -> None:
    found = public_functions()
    assert len(found) > len(table)
    missing = sorted(name for name, function in found.items() if not (function.__doc__ or "").strip())
    assert not missing, f"{len(missing)} public functions have no docstring: {missing}"


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_no_docstring_is_longer_than_its_code(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        text = ast.get_docstring(node) or ""
        code = sum(len(ast.unparse(statement)) for statement in node.body[bool(text) :]) + len(ast.unparse(node.args))
        assert len(text) <= code + DOCSTRING_ALLOWANCE, f"{path}:{node.lineno}: {node.name} has {len(text)} characters on {code} of code"
