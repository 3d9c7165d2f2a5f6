"""The profilers: events and their tree, memory, stacks, tables, traces, schedules, and that nothing is watched when they are off."""

import gc
import json
import re
import threading
import time
import warnings

import pytest

import ndgrad as torch
from ndgrad.autograd import profiler as autograd_profiler
from ndgrad.autograd import profiler_legacy, profiler_util
from ndgrad.autograd.profiler import EventList, FunctionEvent, record_function
from ndgrad.base import modes
from ndgrad.profiler import ProfilerAction, ProfilerActivity, profile, schedule, tensorboard_trace_handler


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


@pytest.fixture
def leaves():
    torch.manual_seed(0)
    return torch.randn(4, 5, requires_grad=True), torch.randn(5, 3, requires_grad=True)


def profiled_step(leaves, **options):
    x, w = leaves
    with autograd_profiler.profile(**options) as prof:
        with record_function("forward"):
            loss = Cube.apply(torch.relu(x @ w)).mean()
        loss.backward()
    return prof


def named(prof, name):
    return [event for event in prof.function_events if event.name == name]


def ancestors(event):
    found = []
    while event.cpu_parent is not None:
        event = event.cpu_parent
        found.append(event.name)
    return found


# ---------------------------------------------------------------- events
def test_operations_functions_and_nodes_have_their_names_and_parents(leaves):
    prof = profiled_step(leaves)
    forward = ["aten::mm", "aten::relu", "Cube", "aten::mul", "aten::mul", "aten::mean"]
    names = [event.name for event in prof.function_events]
    assert names[:7] == ["forward", *forward]
    assert [ancestors(event) for event in prof.function_events[4:6]] == [["Cube", "forward"]] * 2
    nodes = ["MeanBackward0", "CubeBackward", "ReluBackward0", "MmBackward0", "torch::autograd::AccumulateGrad"]
    for node in nodes:
        for event in named(prof, node):
            assert event.scope == 1
            assert ancestors(event) == [f"autograd::engine::evaluate_function: {node}"]
    assert len(named(prof, nodes[-1])) == 2
    products = [event for event in named(prof, "aten::mul") if "CubeBackward" in ancestors(event)]
    assert len(products) == 3


def test_operations_have_pytorchs_names_whatever_the_primitives_are_called():
    x = torch.tensor([7.0, 8.0])
    with autograd_profiler.profile() as prof:
        torch.floor_divide(x, 2)
        torch.deg2rad(x)
        x.to(torch.float64)
        x.bool().all(0)
    names = [event.name.removeprefix("aten::") for event in prof.function_events]
    assert names == ["floor_divide", "deg2rad", "_to_copy", "_to_copy", "all"]


def test_backward_is_tied_to_forward_by_number_and_thread(leaves):
    prof = profiled_step(leaves)
    for forward, backward in (("aten::mm", "MmBackward0"), ("Cube", "CubeBackward"), ("aten::mean", "MeanBackward0")):
        (made,), (run,) = named(prof, forward), named(prof, backward)
        assert made.sequence_nr == run.sequence_nr >= 0
        assert run.fwd_thread == made.thread == threading.get_native_id()
        assert made.fwd_thread == 0
    assert all(event.sequence_nr == -1 for event in prof.function_events if "Accumulate" in event.name or event.name == "forward")
    # a node that was made before the profile: its number is known, its thread was not seen
    loss = (leaves[0] * 2).sum()
    with autograd_profiler.profile() as prof:
        loss.backward()
    assert [event.fwd_thread for event in named(prof, "SumBackward0")] == [0]
    assert named(prof, "SumBackward0")[0].sequence_nr == loss.grad_fn._sequence_nr()


def test_own_time_leaves_out_children_and_adds_up(leaves):
    prof = profiled_step(leaves)
    (cube,) = named(prof, "Cube")
    assert 0 < cube.self_cpu_time_total == pytest.approx(cube.cpu_time_total - sum(c.cpu_time_total for c in cube.cpu_children))
    top = sum(event.cpu_time_total for event in prof.function_events if event.cpu_parent is None)
    assert prof.self_cpu_time_total == pytest.approx(top)
    assert prof.key_averages().self_cpu_time_total == pytest.approx(top)
    with autograd_profiler.profile() as prof, record_function("sleep"):
        time.sleep(0.01)
    assert 10_000 <= named(prof, "sleep")[0].cpu_time_total < 5_000_000


def test_in_place_operations_are_named_so():
    x, noise = torch.ones(3), torch.ones(3)
    with autograd_profiler.profile() as prof:
        x.add_(1)
        x.add_(noise, alpha=2)
        x -= noise
        x.zero_()
        x.fill_(2)
        x.copy_(noise)
        x.addcmul_(noise, noise)
        x.lerp_(noise, 0.5)
        x.clamp_(0)
        x.normal_()
        x[0] = 1.0
        x.exp_()
    top = [event for event in prof.function_events if event.cpu_parent is None]
    assert [event.name.removeprefix("aten::") for event in top] == [
        "add_", "add_", "sub_", "zero_", "fill_", "copy_", "addcmul_", "lerp_", "clamp_", "normal_", "select", "copy_", "exp_",
    ]  # fmt: skip


def test_values_are_the_same_under_a_profiler(leaves):
    x, w = leaves

    def run():
        y = torch.ones(4, 3)
        y.add_(2, alpha=3)
        y.addcdiv_(torch.ones(4, 3), torch.full((4, 3), 2.0), value=0.5)
        y.lerp_(torch.zeros(4, 3), 0.25)
        loss = (Cube.apply(x @ w) * y).sum()
        return y.tolist(), [g.tolist() for g in torch.autograd.grad(loss, (x, w))]

    plain = run()
    with autograd_profiler.profile(record_shapes=True, profile_memory=True, with_stack=True, with_flops=True):
        assert run() == plain


def test_an_error_inside_closes_what_is_open():
    with autograd_profiler.profile() as prof:
        with pytest.raises(RuntimeError), record_function("outer"):
            torch.ones(2, 3) @ torch.ones(2, 3)
        with record_function("after"):
            torch.ones(2) * 2

    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise ValueError("no")

    assert named(prof, "outer")[0].cpu_parent is None
    assert named(prof, "after")[0].cpu_parent is None
    assert ancestors(named(prof, "aten::mul")[0]) == ["after"]
    x = torch.ones(2, requires_grad=True)
    with autograd_profiler.profile() as prof, record_function("block"):
        loss = Failing.apply(x).sum()
        with pytest.raises(ValueError, match="no"):
            loss.backward()
        x.detach() * 2
    assert ancestors(named(prof, "aten::mul")[1]) == ["block"]


def test_a_profile_sees_its_own_thread_only():
    with autograd_profiler.profile() as prof:
        other = threading.Thread(target=lambda: torch.ones(2) * 2)
        other.start()
        other.join()
        torch.ones(2) + 2
    assert not named(prof, "aten::mul")
    assert len(named(prof, "aten::add")) == 1


def test_two_profiles_each_see_what_runs_inside_them():
    x = torch.ones(2)
    with autograd_profiler.profile() as outer:
        x * 2
        with autograd_profiler.profile() as inner, record_function("both"):
            x + 2
    assert [event.name for event in inner.function_events] == ["both", "aten::add"]
    assert [event.name for event in outer.function_events] == ["aten::mul", "both", "aten::add"]


def test_off_nothing_watches(leaves):
    assert not modes.current().observers
    with autograd_profiler.profile(enabled=False) as nothing:
        assert nothing is None
        assert not modes.current().observers
    profiled_step(leaves)
    assert not modes.current().observers
    with record_function("nobody listens") as block:
        assert block.record == []


def test_a_hook_may_stop_a_profile(leaves):
    x, w = leaves
    prof = autograd_profiler.profile(profile_memory=True)
    handle = w.register_post_accumulate_grad_hook(lambda _: prof.__exit__(None, None, None))
    prof.__enter__()
    (x.sum() + (w * 2).sum()).backward()
    x.detach().add_(1)
    assert not modes.current().observers
    assert sum(event.name == "torch::autograd::AccumulateGrad" for event in prof.function_events) == 1
    assert prof.function_events[-1].name != "aten::add_"
    handle.remove()


# ---------------------------------------------------------------- record_function
def test_blocks_nest_and_decorate():
    @record_function("factorial")
    def factorial(n):
        return torch.ones(()) if n == 0 else factorial(n - 1) * n

    with autograd_profiler.profile() as prof:
        with record_function("outer"), record_function("inner", "argument"):
            torch.ones(2) * 2
        factorial(2)
    assert ancestors(named(prof, "aten::mul")[0]) == ["inner", "outer"]
    assert named(prof, "inner")[0].is_user_annotation
    assert [len(ancestors(event)) for event in named(prof, "factorial")] == [0, 1, 2]
    with autograd_profiler.profile() as prof, record_function("twice"), record_function("twice"):
        torch.ones(2) * 2
    # of a block that is another's only child and has its name, one remains
    assert ancestors(named(prof, "aten::mul")[0]) == ["twice"]


def test_leaving_what_was_not_entered():
    with pytest.raises(AssertionError, match="Expected record to be set"):
        record_function("x").__exit__(None, None, None)


# ---------------------------------------------------------------- what is noted of operations
def test_shapes_group_averages():
    with autograd_profiler.profile(record_shapes=True) as prof:
        for size in (2, 2, 3):
            torch.ones(size) * torch.ones(1)
        torch.cat([torch.ones(2), torch.ones(3)])
    by_shape = {str(each.input_shapes): each.count for each in prof.key_averages(group_by_input_shape=True) if each.key == "aten::mul"}
    assert by_shape == {"[[2], [1]]": 2, "[[3], [1]]": 1}
    assert [each.count for each in prof.key_averages() if each.key == "aten::mul"] == [3]
    (cat,) = named(prof, "aten::cat")
    assert (cat.input_shapes, cat.structured_input_shapes) == ([[]], [[[2], [3]]])
    assert cat.kwinputs == {"dim": 0}


def test_flops_are_counted_as_torch_does():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    with autograd_profiler.profile(with_flops=True) as prof:
        a @ b
        torch.bmm(torch.ones(2, 3, 4), torch.ones(2, 4, 5))
        torch.addmm(torch.ones(5), a, b)
        a + torch.ones(4)
        torch.ones(4) * a
        2 * a
        a - a
        a.add_(1)
    counted = [event.flops for event in prof.function_events]
    assert counted == [120, 240, 120, 12, 4, 12, 0, 0]
    assert "Total FLOPs" in prof.key_averages().table()
    assert sum(each.flops for each in prof.key_averages()) == sum(counted)


def test_memory_is_what_operations_keep():
    x = torch.ones(1000)
    with autograd_profiler.profile(profile_memory=True) as prof:
        with record_function("kept"):
            y = x * 2
        with record_function("freed"):
            z = x * 3
            del z
        with record_function("in place"):
            x.add_(1)
        with record_function("view"):
            v = y.view(10, 100)
        del y, v
    usage = {event.name: (event.cpu_memory_usage, event.self_cpu_memory_usage) for event in prof.function_events if event.scope == 7}
    assert usage == {"kept": (4000, 0), "freed": (0, -4000), "in place": (0, 0), "view": (0, 0)}
    assert [event.cpu_memory_usage for event in named(prof, "[memory]")] == [-4000]
    assert prof.total_average().self_cpu_memory_usage == 0
    assert "CPU Mem" in prof.table()
    assert "-3.91 KB" in prof.table()


def test_memory_of_a_training_step_is_balanced():
    w = torch.ones(100, 100, requires_grad=True)
    w.grad = torch.zeros(100, 100)
    with autograd_profiler.profile(profile_memory=True) as prof:
        loss = torch.tanh(torch.ones(7, 100) @ w).pow(2).mean()
        loss.backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
        del loss
        gc.collect()
    assert prof.total_average().self_cpu_memory_usage == 0
    assert named(prof, "MmBackward0")[0].cpu_memory_usage == 40000


def test_stacks_name_the_users_lines(leaves, tmp_path):
    def inner(x):
        return torch.relu(x)

    with autograd_profiler.profile(with_stack=True) as prof:
        inner(leaves[0]).sum().backward()
    (relu,), (run,) = named(prof, "aten::relu"), named(prof, "ReluBackward0")
    assert re.fullmatch(r".*test_profiler\.py\(\d+\): inner", relu.stack[0])
    assert relu.stack[1].endswith("test_stacks_name_the_users_lines")
    assert run.stack == relu.stack
    assert not any("ndgrad" + "/core" in entry for entry in relu.stack)
    assert "Source Location" in prof.key_averages(group_by_stack_n=2).table(max_src_column_width=None)
    prof.export_stacks(tmp_path / "stacks")
    lines = (tmp_path / "stacks").read_text().splitlines()
    assert any(re.search(r"test_stacks_name_the_users_lines;\S*inner \d+$", line) for line in lines)
    with pytest.raises(ValueError, match="metric should be one of"):
        prof.export_stacks(tmp_path / "stacks", "speed")


# ---------------------------------------------------------------- tables and errors
def test_the_table():
    one = FunctionEvent(1, "one", 1, 0, 1500, input_shapes=[], stack=[])
    two = FunctionEvent(2, "a" * 80, 1, 100, 600, input_shapes=[], stack=[])
    events = EventList([one, two]).built()
    lines = events.table(sort_by="self_cpu_time_total", header="what ran").splitlines()
    assert lines[1] == "what ran"
    assert lines[3].split("  ")[-2].strip() == "# of Calls"
    assert re.split(r"\s{2,}", lines[5].strip()) == ["one", "66.67%", "1.000ms", "100.00%", "1.500ms", "1.500ms", "1"]
    assert lines[6].startswith("a" * 52 + "...")
    assert lines[-1] == "Self CPU time total: 1.500ms"
    assert len({len(line) for line in lines[2:8]}) == 1
    assert "aaa" not in events.table(top_level_events_only=True)
    assert "500.000us" in events.table(time_unit="us")
    assert "aaa" not in events.table(row_limit=1)
    assert EventList([]).table() == ""
    with pytest.raises(AttributeError, match="'FunctionEvent' object has no attribute 'speed'"):
        events.table(sort_by="speed")


def test_misuse():
    prof = autograd_profiler.profile()
    assert repr(prof) == str(prof) == "<unfinished torch.autograd.profile>"
    assert repr(profiler_legacy.profile()) == "<unfinished profiler_legacy.profile>"
    with prof:
        torch.ones(2) * 2
        assert prof.key_averages() == []
    assert len(prof.key_averages()) == 1
    with pytest.raises(RuntimeError, match="Profiler context manager is not reentrant"), prof:
        pass
    with pytest.raises(AssertionError, match="export_stacks\\(\\) requires with_stack=True"):
        prof.export_stacks("nowhere")
    with pytest.raises(AssertionError, match="Device-only events supported only with Kineto"):
        autograd_profiler.profile(use_cpu=False)
    with pytest.raises(AssertionError, match="No activities specified for the profiler"):
        autograd_profiler.profile(use_cpu=False, use_kineto=True)
    with pytest.warns(UserWarning, match="CUDA is not available, disabling CUDA profiling"):
        autograd_profiler.profile(use_device="cuda")
    with pytest.warns(UserWarning, match="The abacus is not a valid device option"):
        autograd_profiler.profile(use_device="abacus")
    with pytest.raises(RuntimeError, match="nothing yet"):
        autograd_profiler.profile().export_chrome_trace("nowhere")
    with pytest.raises(AssertionError, match="Expected tree to be built"):
        prof.key_averages().key_averages()


def test_a_profile_ends_on_its_own_thread():
    failed = []
    with autograd_profiler.profile() as prof:

        def leave():
            try:
                prof.__exit__(None, None, None)
            except RuntimeError as error:
                failed.append(str(error))

        other = threading.Thread(target=leave)
        other.start()
        other.join()
    assert len(failed) == 1
    assert "watches one thread alone" in failed[0]


@pytest.mark.parametrize("name", ["emit_nvtx", "emit_itt", "load_nvprof", "parse_nvprof_trace"])
def test_what_needs_other_devices_says_so(name):
    call = getattr(autograd_profiler, name)
    with pytest.raises(RuntimeError, match="is not available here"):
        if name.startswith("emit"):
            with call():
                pass
        else:
            call("file")
    if name.startswith("emit"):
        with call(enabled=False):
            pass


def test_small_parts():
    unique = autograd_profiler.EnforceUnique()
    unique.see(1, 2)
    with pytest.raises(RuntimeError, match=r"duplicate key: \(1, 2\)"):
        unique.see(1, 2)
    assert profiler_util.StringTable()["name"] == "name"
    tracker = autograd_profiler.KinetoStepTracker
    before = tracker.current_step()
    assert tracker.increment_step("a") == before + 1
    assert tracker.increment_step("b") == before + 2
    assert tracker.increment_step("a") == before + 2
    assert tracker.erase_step_count("a")
    assert tracker.erase_step_count("b")
    assert not tracker.erase_step_count("b")

    class At:
        def __init__(self, at):
            self.at = at

        def start_ns(self):
            return self.at

    records = [(At(at), at) for at in (5, 1, 3)]
    assert [record[1] for record in profiler_util.MemRecordsAcc(records).in_interval(2, 5)] == [3, 5]


# ---------------------------------------------------------------- traces
def test_the_trace_nests_and_its_arrows_are_paired(leaves, tmp_path):
    prof = profiled_step(leaves, record_shapes=True, profile_memory=True, with_stack=True)
    path = tmp_path / "trace.json"
    prof.export_chrome_trace(path)
    trace = json.loads(path.read_text())
    assert trace["schemaVersion"] == 1
    events = trace["traceEvents"]
    assert all({"ph", "name", "pid", "tid", "ts"} <= event.keys() for event in events)
    slices = [event for event in events if event["ph"] == "X"]
    assert {event["cat"] for event in slices} == {"cpu_op", "user_annotation"}
    around = []
    for event in sorted(slices, key=lambda event: (event["ts"], -event["dur"])):
        end = event["ts"] + event["dur"]
        while around and around[-1] <= event["ts"]:
            around.pop()
        assert not around or end <= around[-1] + 2e-3, f"{event['name']} sticks out of what it began in"
        around.append(end)
    (mm,) = [event for event in slices if event["name"] == "aten::mm"]
    assert mm["args"]["Input Dims"] == [[4, 5], [5, 3]]
    assert mm["args"]["Input type"] == ["float", "float"]
    flows = [event for event in events if event.get("cat") == "fwdbwd"]
    starts = {event["id"]: event for event in flows if event["ph"] == "s"}
    ends = {event["id"]: event for event in flows if event["ph"] == "f"}
    assert starts.keys() == ends.keys()
    at = {event["ts"]: event for event in slices}
    tied = {}
    for number, start in starts.items():
        forward = at[start["ts"]]
        backward = [event for event in slices if event["ts"] == ends[number]["ts"]][-1]
        assert ends[number]["bp"] == "e"
        assert forward["args"]["Sequence number"] == backward["args"]["Sequence number"]
        tied[forward["name"]] = backward["name"]
    assert tied == {"aten::mm": "MmBackward0", "aten::relu": "ReluBackward0", "Cube": "CubeBackward", "aten::mean": "MeanBackward0"}
    memory = [event for event in events if event["name"] == "[memory]"]
    assert memory[-1]["args"]["Total Allocated"] == sum(event["args"]["Bytes"] for event in memory)
    prof.export_chrome_trace(tmp_path / "trace.json.gz")
    assert (tmp_path / "trace.json.gz").read_bytes()[:2] == b"\x1f\x8b"
    prof.function_events.export_chrome_trace(path)
    assert len(json.loads(path.read_text())["traceEvents"]) == len(events)


# ---------------------------------------------------------------- schedules
def test_steps_of_a_schedule(tmp_path):
    cycles = []

    def ready(prof):
        cycles.append((prof.step_num, [event.trace_name for event in prof.events() if event.name == "ProfilerStep*"], len(prof.events())))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with profile(
            activities=[ProfilerActivity.CPU], schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=ready
        ) as prof:
            for _ in range(10):
                torch.ones(2) * 2
                prof.step()
    assert cycles == [(4, ["ProfilerStep#2", "ProfilerStep#3"], 4), (8, ["ProfilerStep#6", "ProfilerStep#7"], 4)]
    assert not modes.current().observers


def test_accumulated_cycles():
    with profile(schedule=schedule(wait=0, warmup=1, active=1), acc_events=True) as prof:
        for _ in range(4):
            torch.ones(2) * 2
            prof.step()
    assert [each.count for each in prof.key_averages() if each.key == "aten::mul"] == [2]


def test_traces_for_tensorboard(tmp_path):
    with profile(on_trace_ready=tensorboard_trace_handler(str(tmp_path / "new"), "me", use_gzip=True)) as prof:
        torch.ones(2) * 2
        prof.add_metadata("run", "first")
    (written,) = (tmp_path / "new").iterdir()
    assert re.fullmatch(r"me\.\d+\.pt\.trace\.json\.gz", written.name)
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    assert json.loads((tmp_path / "trace.json").read_text())["run"] == "first"
    assert prof.get_trace_id()


def test_collection_can_be_interrupted():
    with profile() as prof:
        torch.ones(2) * 2
        prof.toggle_collection_dynamic(False, [ProfilerActivity.CPU])
        torch.ones(2) * 2
        prof.toggle_collection_dynamic(True, [ProfilerActivity.CPU])
        torch.ones(2) + 2
    assert [event.name for event in prof.events()] == ["aten::mul", "aten::add"]


def test_schedules_that_cannot_be():
    with pytest.raises(AssertionError, match="Invalid profiler schedule arguments"):
        schedule(wait=-1, warmup=1, active=1)
    with pytest.raises(AssertionError, match="No valid profiler activities found"):
        profile(activities=[])
    with pytest.raises(ValueError, match="DEVICE_STOPPED is set internally"):
        profile(schedule=lambda step: ProfilerAction.DEVICE_STOPPED)
    cold = profile(schedule=lambda step: ProfilerAction.NONE if step else ProfilerAction.WARMUP)
    with pytest.warns(UserWarning, match="WARMUP followed by NONE"), cold:
        cold.step()
    for use in ("events", "key_averages"):
        with pytest.raises(AssertionError, match="Profiler must be initialized before"):
            getattr(profile(), use)()
