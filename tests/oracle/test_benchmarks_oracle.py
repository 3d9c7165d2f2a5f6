"""The benchmark compares like with like: every workload gives the same values on both sides."""

import pytest
import torch

import ndgrad
from benchmarks.runner import close
from benchmarks.workloads import WORKLOADS, Memory, Quotient, Timed

# torch's own forward mode compiles something with it when it is first used
TORCH_WARNS = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
COMPARED = [work for work in WORKLOADS if isinstance(work, (Timed, Quotient)) and work.name != "linearity"]  # whose chain is a row above


@TORCH_WARNS
@pytest.mark.parametrize("workload", COMPARED, ids=lambda work: work.name)
def test_timed_workloads_agree(workload):
    *_, ours = workload.program(ndgrad)
    *_, theirs = workload.program(torch)
    assert close(ours(), theirs())


@pytest.mark.parametrize("workload", [work for work in WORKLOADS if isinstance(work, Memory)], ids=lambda work: work.name)
def test_memory_workloads_agree(workload):
    assert close([workload.program(ndgrad, 1000)().item()], [workload.program(torch, 1000)().item()])
