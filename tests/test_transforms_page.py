"""What docs/TRANSFORMS.md shows is run, is in the code, and leaves no transform out."""

import doctest
import re
from pathlib import Path

from ndgrad import func

ROOT = Path(__file__).resolve().parent.parent
PATH = ROOT / "docs" / "TRANSFORMS.md"
PAGE = PATH.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_print_what_the_page_says():
    results = doctest.testfile(str(PATH), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS)
    assert results.attempted > 40 and results.failed == 0


def test_rules_that_are_shown_stand_in_the_code():
    code = "\n".join(path.read_text() for path in (ROOT / "src" / "ndgrad" / "ops").glob("*.py"))
    shown = [line.split("  #")[0] for block in BLOCKS if ">>>" not in block for line in block.splitlines()]
    assert len(shown) == 5 and [line for line in shown if line not in code] == []


def test_what_is_beyond_torch_is_shown():
    shown = "\n".join(block for block in BLOCKS if ">>>" in block)
    named = {name for name in func.__all__ if re.search(rf"\b{name}\(", shown)}
    beyond = {"check_grad", "defjvp", "defvjp", "fixed_point", "hessian_diag", "hvp", "implicit", "jacobian_product", "jet", "laplacian"}
    assert named >= beyond | {"minimize", "root", "sparse_hessian", "sparse_jacobian"}


def test_the_files_that_the_page_names_exist():
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", PAGE) if "://" not in target]
    assert len(links) > 4 and [target for target in links if not (PATH.parent / target).exists()] == []
    named = re.findall(r"`((?:core|autograd|func|ops)/\w+\.py)`", PAGE)
    assert len(named) > 4 and [name for name in named if not (ROOT / "src" / "ndgrad" / name).exists()] == []
