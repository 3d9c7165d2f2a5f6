"""Writes the two files that tell type checkers what is bound at import time: `python -m tests.declarations`.

`core/methods.pyi` has what `ndgrad.ops` and `ndgrad.autograd` give to `Tensor`, `functions.pyi` what the table gives to `ndgrad`.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from pathlib import Path
from types import FunctionType
from typing import Any, Self

import ndgrad
from ndgrad.core import tensor
from ndgrad.core.tensor import Tensor
from ndgrad.ops import functions
from ndgrad.ops.declare import table
from ndgrad.ops.legacy import LegacyType, legacy_types
from ndgrad.ops.operators import python_operators

PACKAGE = Path(ndgrad.__file__).parent
WIDTH = 140


class Imports:
    """The names that annotations use, and where a stub gets them from."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()

    def add(self, value: Any) -> str:
        """What a class is called in the stub: `_int` for Python's, because there are methods and functions of that name."""
        module, name = value.__module__, value.__name__
        self.found.add((module, name))
        return f"_{name}" if module == "builtins" else name

    def lines(self) -> list[str]:
        own, standard = [], []
        for module in sorted({module for module, _ in self.found}):
            names = sorted(name for there, name in self.found if there == module)
            if module == "builtins":
                standard += [f"from builtins import {name} as _{name}" for name in names]
            else:
                (own if module.startswith("ndgrad") else standard).append(f"from {module} import {', '.join(names)}")
        return [*standard, "", *own]


class Spelling(ast.NodeTransformer):
    """Writes the names in an annotation as the stub imports them."""

    def __init__(self, namespace: dict[str, Any], imports: Imports) -> None:
        self.namespace, self.imports = namespace, imports

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.namespace.get(node.id, getattr(builtins, node.id, None))
        if value is not Any and not isinstance(value, type):
            raise LookupError(node.id)
        return ast.Name(self.imports.add(value))


def annotation(text: Any, function: Callable[..., Any], imports: Imports) -> str:
    """An annotation as the stub says it; Any where it is not made of classes alone."""
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return ast.unparse(Spelling(namespace, imports).visit(ast.parse(text, mode="eval")))
    except LookupError:
        return imports.add(Any)


def parameters(given: Iterable[Parameter], function: Callable[..., Any], imports: Imports) -> list[str]:
    """Parameters as a stub has them, the lone star included."""
    texts: list[str] = []
    starred = False
    for one in given:
        if one.kind is one.KEYWORD_ONLY and not starred:
            texts.append("*")
        starred = starred or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        default = "" if one.default is one.empty else " = ..."
        texts.append(f"{stars}{one.name}: {annotation(one.annotation, function, imports)}{default}")
    return texts


def returned(function: Callable[..., Any], imports: Imports) -> str:
    """What a function returns. A lane says Any, because Python's operators are lanes too and may return NotImplemented."""
    return imports.add(Tensor) if hasattr(function, "lane") else annotation(signature(function).return_annotation, function, imports)


def definition(name: str, texts: list[str], returns: str, indent: str = "") -> str:
    """One function, broken between parameters where a line does not hold it."""
    line = f"def {name}({', '.join(text.replace(' ', chr(0)) for text in texts)})\0->\0{returns}:\0..."
    lines = textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=indent + "    ", break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def twin_of(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """For an in-place twin that says no more than `self, *args, **kwargs`, the operation, which takes the same; else the function."""
    entry = table.get(name.removesuffix("_"))
    made = entry is not None and function is entry.in_place and list(signature(function).parameters) == ["self", "args", "kwargs"]
    return entry.method if entry is not None and made else function


def method(name: str, function: Callable[..., Any], imports: Imports) -> str:
    """What is bound as a method: its first parameter becomes `self`, and `out=` is for functions."""
    told = list(signature(function).parameters.values())[1:]
    if name in OPERATORS:
        others = [f"other: {imports.add(Any)}"] if told and told[0].name != "out" else []
        reason = "  # type: ignore[override]  # a tensor, where every object promises a bool" if name in ("__eq__", "__ne__") else ""
        return definition(name, ["self", *others], imports.add(Tensor), "    ") + reason
    described = twin_of(name, function)
    told = list(signature(described).parameters.values())[1:]
    given = [one for one in told if one.name != "out" and not one.name.startswith("_")]
    return definition(name, ["self", *parameters(given, described, imports)], returned(function, imports), "    ")


def attribute(name: str, value: property, imports: Imports) -> str:
    """A property, which is a tensor in each case there is."""
    lines = ["@property", definition(name, ["self"], imports.add(Tensor))]
    if value.fset is not None:
        lines += [f"@{name}.setter", definition(name, ["self", f"value: {imports.add(Any)}"], "None")]
    return textwrap.indent("\n".join(lines), "    ")


def function(name: str, body: Callable[..., Any], imports: Imports) -> str:
    """What is a function of `ndgrad`, with the `out=` that the table adds."""
    entry = table.get(name)
    described = twin_of(name, body)
    given = [one for one in signature(described).parameters.values() if described is body or one.name != "out"]
    returns = returned(body, imports)
    if entry is not None and entry.function is body and entry.out and all(one.name != "out" for one in given):
        kind = "Tensor | None" if returns == "Tensor" else "Any"
        place = len(given) - (given[-1].kind is Parameter.VAR_KEYWORD)
        given.insert(place, Parameter("out", Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    return definition(name, parameters(given, described, imports), returns)


def stub(summary: str, imports: Imports, body: list[str]) -> str:
    """A whole file."""
    heading = f'"""{summary} Written by `python -m tests.declarations`."""'
    return "\n".join([heading, "", *imports.lines(), "", *body, ""])


OPERATORS = frozenset(python_operators())


def methods_stub() -> str:
    """The text of `core/methods.pyi`."""
    imports = Imports()
    every = imports.add(Any)
    body = ["class Methods:", f"    def __new__(cls, *args: {every}, device: {every} = ..., **named: {every}) -> {imports.add(Self)}: ..."]
    for name, value in sorted(vars(Tensor).items()):
        made_by = value.fget if isinstance(value, property) else value
        private = name.startswith("_") and not name.startswith("__")
        if private or not isinstance(made_by, FunctionType) or made_by.__code__.co_filename == tensor.__file__:
            continue  # the last is what stands in the class body
        body.append(attribute(name, value, imports) if isinstance(value, property) else method(name, value, imports))
    return stub("What `Tensor` is given at import time.", imports, body)


def functions_stub() -> str:
    """The text of `functions.pyi`."""
    imports = Imports()
    body = [f"{name}: {imports.add(LegacyType)}" for name in sorted(legacy_types())]
    body += [function(name, value, imports) for name, value in sorted(functions().items())]
    return stub("What `ndgrad` is given at import time.", imports, body)


STUBS = {PACKAGE / "core" / "methods.pyi": methods_stub, PACKAGE / "functions.pyi": functions_stub}

if __name__ == "__main__":
    for path, write in STUBS.items():
        path.write_text(write())
