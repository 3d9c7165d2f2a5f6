"""The benchmark harness: what it says of numbers, and that its workloads run. No time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ndgrad
from benchmarks import machine, report, runner
from benchmarks.workloads import WORKLOADS, Import, Memory, Quotient, Timed

ROOT = Path(__file__).resolve().parent.parent
TIMED = {work.name: work for work in WORKLOADS if isinstance(work, Timed)}
MEMORY = {work.name: work for work in WORKLOADS if isinstance(work, Memory)}


def row(kind=Timed, ours=(1.0,), theirs=(2.0,), **facts):
    workload = next(work for work in WORKLOADS if isinstance(work, kind))
    return runner.Row(workload, {"ndgrad": list(ours), "torch": list(theirs)}, **facts)


@pytest.mark.parametrize("name", TIMED)
def test_a_workload_runs_again_and_again(name):
    step, values = TIMED[name].program(ndgrad)
    first = values()
    assert first and np.isfinite(first).all()
    step()
    if name != "mlp":  # it trains: its values move on
        assert values() == first


@pytest.mark.parametrize("name", ["per_sample", "chain_both_ways"])
def test_both_steps_of_a_quotient_run(name):
    above, below, values = next(work for work in WORKLOADS if work.name == name).program(ndgrad)
    above()
    below()
    assert np.isfinite(values()).all()


@pytest.mark.parametrize("name", MEMORY)
def test_a_memory_workload_runs(name):
    loss = MEMORY[name].program(ndgrad, 32)()
    loss.backward()
    assert np.isfinite(loss.item())


def test_every_target_of_the_specification_is_there():
    targets = {work.name: work.target for work in WORKLOADS if not isinstance(work, Memory)}
    assert targets == {
        "add_no_grad": 1.0,
        "add_recording": 1.1,
        "scale_recording": 1.5,
        "matmul_recording": 1.2,
        "tutorial": 1.8,
        "scalar_products": 2.0,
        "scalar_sines": 1.5,
        "gelu": 1.8,
        **{f"elementwise_{size}_{pass_}": 1.0 for size in (30_000, 300_000, 3_000_000) for pass_ in ("forward", "backward")},
        "mlp": 1.2,
        "linearity": 1.5,
        "functional_hessian": 3.0,
        "func_hessian": 1.0,
        "vmap_grad": 0.8,
        "jacrev": 0.8,
        "jacfwd": 0.8,
        "per_sample": 0.1,
        "chain_both_ways": 1.0,
        "import": 0.15,
    }
    assert {work.size for work in MEMORY.values()} == {32_768, 10_000_000}
    assert len({work.name for work in WORKLOADS}) == len(WORKLOADS)


def test_a_target_is_met_by_the_best_round():
    assert row(ours=[3.0, 1.0], theirs=[1.0, 5.0]).met is True
    assert row(ours=[1.0], theirs=[0.99]).met is False
    assert row(Memory, ours=[100.0], theirs=[99.0]).met is True
    assert row(Memory, ours=[100.0], theirs=[97.0]).met is False
    assert row(Quotient, ours=[1.6], theirs=[1.0]).met is False
    assert row(Import, ours=[0.1], theirs=[]).met is True
    assert row(theirs=[]).met is None and row(theirs=[]).ratio is None


def test_rounds_that_differ_are_called_noisy():
    assert not row(ours=[1.0, 1.1, 9.0]).noisy
    assert row(ours=[1.0, 1.3, 1.4]).noisy


def test_values_are_compared_with_a_tolerance():
    assert runner.close([1.0, 0.0], [1.0001, 1e-7])
    assert not runner.close([1.0], [1.001])
    assert not runner.close([1.0], [1.0, 1.0])
    assert not runner.close([float("nan")], [float("nan")])


def test_a_report_says_what_was_found():
    rows = [row(), row(ours=[4.0], same_values=False), row(Memory, ours=[1e6], theirs=[2e6])]
    lines = [report.text_line(report.cells(each)) for each in rows]
    assert "2.00" in lines[0] and lines[0].endswith("met")
    assert lines[1].endswith("MISSED VALUES DIFFER")
    assert "1.0 MB" in lines[2]
    facts = {"processor": "one", "cores": 2, "threads": 1, "python": "3"}
    text = report.markdown(rows, facts)
    assert text.startswith(report.MARKERS[0]) and text.endswith(report.MARKERS[1]) and text.count("\n| ") == 4
    written = json.loads(json.dumps(report.as_json(rows, facts, ["busy"])))
    assert [each["met"] for each in written["rows"]] == [True, False, True] and written["warnings"] == ["busy"]


@pytest.mark.parametrize(("seconds", "text"), [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (0.000_012_3, "12.3 us"), (1e-7, "0.1 us")])
def test_durations(seconds, text):
    assert report.duration(seconds) == text


def test_the_children_get_the_threads_and_not_the_kernel_choice(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    environment = runner.Settings(("ndgrad",), threads=2, rounds=1, seconds=0.1).environment()
    assert {environment[name] for name in runner.THREAD_VARIABLES} == {"2"}
    assert not set(runner.DROPPED_VARIABLES) & set(environment)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the highest resident memory of the whole process is known")
def test_the_memory_meter_sees_what_is_held_and_what_was_freed():
    # In a fresh process: in this one, memory that earlier tests freed would be used again.
    program = """
import numpy as np
from benchmarks.memory import MemoryMeter
meter = MemoryMeter()
held = np.ones(5_000_000)
np.ones(10_000_000)
print(meter.held(), meter.peak())
"""
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    held, peak = (int(word) for word in output.split())
    assert 38e6 < held < 46e6
    assert 118e6 < peak < 126e6


def test_a_busy_machine_is_noticed(monkeypatch):
    use = machine.ProcessorUse()
    monkeypatch.setattr(machine, "all_processors", lambda: (use.total or 0.0) + 1000.0)
    assert "cores now" in (machine.busy_warning(use, "now") or "")
    monkeypatch.setattr(machine, "all_processors", lambda: use.total)
    assert machine.busy_warning(use, "now") is None


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_one_workload_from_the_command_line(tmp_path):
    file = tmp_path / "results.json"
    options = ("-k", "^add_recording", "--side", "ndgrad", "--rounds", "2", "--seconds", "0.02", "--json", str(file))
    result = command(*options, "--markdown")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("<!-- speed:begin -->")
    [measured] = json.loads(file.read_text())["rows"]
    assert measured["name"] == "add_recording" and len(measured["rounds"]["ndgrad"]) == 2
    assert 0 < measured["best"]["ndgrad"] < 1


def test_mistakes_on_the_command_line():
    assert command("--list").stdout.count("\n") == len(WORKLOADS)
    assert command("-k", "no such workload").returncode == 2
    assert command("-k", "(").returncode == 2
    assert command("--rounds", "0").returncode == 2


def test_a_failing_workload_is_reported_and_the_rest_goes_on():
    settings = runner.Settings(("a_module_of_nobody",), threads=1, rounds=1, seconds=0.01)
    with pytest.raises(runner.WorkloadFailed, match="add_no_grad on a_module_of_nobody"):
        runner.measure(TIMED["add_no_grad"], settings)
