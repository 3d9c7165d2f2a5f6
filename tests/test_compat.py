"""``install_as_torch``: torch's names answered by ndgrad's own modules, and what is said of those that are not there."""

import os
import subprocess
import sys
import textwrap

import pytest

import ndgrad


def run_python(program, *, expect=0, command=("-c",)):
    """Run a program in a fresh interpreter, so that whether torch is imported here does not matter."""
    result = subprocess.run(
        [sys.executable, *command, textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert result.returncode == expect, result.stderr
    return result


def check(program):
    run_python("import ndgrad\nndgrad.install_as_torch()\n" + textwrap.dedent(program))


def test_torch_and_its_submodules_are_the_same_objects():
    check(
        """
        import sys, importlib
        import torch
        import torch.nn.functional as F
        import torch.nn
        from torch import nn, autograd
        from torch.autograd import grad
        from torch.nn.functional import relu
        import torch.nn.modules.linear, torch.nn.utils.clip_grad
        from torch.nn.modules.module import Module, register_module_forward_hook
        from torch.nn.utils import clip_grad_norm_
        from torch.nn.parameter import Buffer, Parameter
        assert torch is ndgrad and torch.Tensor is ndgrad.Tensor
        assert nn is ndgrad.nn is torch.nn is sys.modules["torch.nn"] is importlib.import_module("torch.nn")
        assert F is ndgrad.nn.functional is torch.nn.functional
        assert autograd is ndgrad.autograd and grad is ndgrad.autograd.grad
        assert relu is ndgrad.nn.functional.relu
        assert torch.nn.modules.linear.Linear is ndgrad.nn.Linear and issubclass(torch.nn.Linear, Module) and Module is nn.Module
        assert Buffer is nn.Buffer and Parameter is nn.Parameter and clip_grad_norm_ is ndgrad.nn.utils.clip_grad.clip_grad_norm_
        """
    )


def test_modules_keep_their_own_identity():
    check(
        """
        import torch.nn.functional, importlib, importlib.util, pickle
        assert torch.nn.functional.__name__ == torch.nn.functional.__spec__.name == "ndgrad.nn.functional"
        assert torch.__spec__.name == "ndgrad"
        assert importlib.util.find_spec("torch") is not None
        assert importlib.util.find_spec("torch.nn") is not None
        assert pickle.loads(pickle.dumps(torch.Tensor)) is ndgrad.Tensor
        assert pickle.loads(b"ctorch\\nTensor\\n.") is ndgrad.Tensor
        assert pickle.loads(b"ctorch.nn.functional\\nrelu\\n.") is ndgrad.nn.functional.relu
        """
    )


def test_installing_again_changes_nothing():
    check(
        """
        import sys, torch
        path, get = list(sys.meta_path), torch.__getattr__
        ndgrad.install_as_torch()
        assert sys.meta_path == path and torch.__getattr__ is get
        """
    )


def test_the_finder_leaves_other_names_alone():
    check(
        """
        import importlib.util
        assert importlib.util.find_spec("torchlike_package_of_nobody") is None
        import json, email.message
        """
    )


def test_an_imported_torch_is_an_error():
    run_python(
        """
        import sys, types
        sys.modules["torch"] = module = types.ModuleType("torch")
        module.__file__ = "/somewhere/torch/__init__.py"
        import ndgrad
        try:
            ndgrad.install_as_torch()
        except RuntimeError as error:
            assert "/somewhere/torch/__init__.py" in str(error) and "install_as_torch" in str(error)
        else:
            raise SystemExit("no error")
        assert sys.modules["torch"] is module and not any(type(f).__module__.startswith("ndgrad") for f in sys.meta_path)
        """
    )


MISSING = {
    "import torch.no_such": ("ModuleNotFoundError", "torch.no_such"),
    "import torch.nn.no_such.deeper": ("ModuleNotFoundError", "torch.nn.no_such"),
    "import torch.core": ("ModuleNotFoundError", "torch.core"),
    "from torch.no_such import name": ("ModuleNotFoundError", "torch.no_such"),
    "from torch import no_such": ("ImportError", "torch.no_such"),
    "from torch.nn import NoSuch": ("ImportError", "torch.nn.NoSuch"),
    "import torch.no_such as short": ("ModuleNotFoundError", "torch.no_such"),
    "import torch; torch.no_such": ("AttributeError", "torch.no_such"),
    "import torch; torch.nn.functional.no_such(1)": ("AttributeError", "torch.nn.functional.no_such"),
    "import torch; torch.no_such.deeper": ("AttributeError", "torch.no_such"),
    "import importlib; importlib.import_module('torch.no_such')": ("ModuleNotFoundError", "torch.no_such"),
}


@pytest.mark.parametrize("statement", MISSING)
def test_a_missing_name_is_named_with_the_line_that_asked(tmp_path, statement):
    kind, name = MISSING[statement]
    script = tmp_path / "script.py"
    script.write_text(f"x = 1\n\n{statement}\n")
    result = subprocess.run([sys.executable, "-m", "ndgrad", "run", str(script)], capture_output=True, text=True, timeout=120)
    lines = result.stderr.splitlines()
    assert result.returncode == 1
    assert lines[-1].removesuffix("?").startswith(f"{kind}: {name} is not in ndgrad (asked for at {script}:3)")
    frames = [line for line in lines if line.startswith("  File ") and "importlib/__init__.py" not in line]
    assert frames == [f'  File "{script}", line 3, in <module>']


def test_a_missing_method_is_named_with_the_line_that_asked(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import torch\n\ndef f(x):\n    return x.no_such()\n\nf(torch.tensor(1.0))\n")
    result = subprocess.run([sys.executable, "-m", "ndgrad", "run", str(script)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"AttributeError: torch.Tensor.no_such is not in ndgrad (asked for at {script}:4)"


def test_programs_can_ask_whether_a_name_is_there():
    check(
        """
        import importlib.util, torch, torch.nn as nn
        assert not hasattr(torch, "no_such") and not hasattr(nn, "NoSuch") and hasattr(nn, "functional")
        assert getattr(torch, "no_such", 5) == 5
        assert not hasattr(torch, "__no_such__")
        assert importlib.util.find_spec("torch.no_such") is None
        for rest in ("import torch.no_such", "from torch import no_such", "from torch.no_such import x", "from torch.nn import NoSuch"):
            try:
                exec(rest)
            except ImportError as error:
                assert error.name.startswith("torch"), error.name
            else:
                raise SystemExit(rest)
        try:
            torch.no_such
        except AttributeError as error:
            assert error.name == "no_such" and error.obj is torch
        """
    )


def test_a_module_imported_late_is_loaded_once():
    check(
        """
        import torch.profiler
        import torch.autograd.profiler as names
        from torch.autograd import DeviceType
        import ndgrad.autograd.profiler
        assert torch.profiler.record_function is names.record_function is ndgrad.autograd.profiler.record_function
        assert torch.profiler.DeviceType is DeviceType
        """
    )


def test_star_import_brings_the_public_names():
    check(
        """
        from torch import *
        assert relu is ndgrad.relu
        """
    )


def test_a_broken_dependency_is_not_called_a_missing_name(tmp_path):
    # A module of ndgrad that fails for want of another package must say so, not that torch's name is unknown.
    run_python(
        f"""
        import sys, ndgrad
        (open({str(tmp_path / "needing.py")!r}, "w")).write("import package_of_nobody")
        ndgrad.__path__.append({str(tmp_path)!r})
        ndgrad.install_as_torch()
        try:
            import torch.needing
        except ModuleNotFoundError as error:
            assert error.name == "package_of_nobody", error
        else:
            raise SystemExit("no error")
        """
    )


def test_ndgrad_is_not_torch_unless_asked():
    # Nothing is installed by importing ndgrad: a program may use both side by side.
    run_python(
        """
        import sys, ndgrad
        assert not any(type(finder).__module__ == "ndgrad.compat" for finder in sys.meta_path)
        assert "torch" not in sys.modules
        """
    )
    assert ndgrad.install_as_torch.__module__ == "ndgrad.compat"
