"""Profiles of the same programs by both libraries: events, ties, tables of given events, schedules and errors."""

import json
import re
import warnings

import pytest
import torch

import ndgrad
import ndgrad.profiler
from tests.oracle.both import PROGRAMS, check, program

#: What torch does around its operations, and ndgrad without an event.
INSIDE = re.compile(r"(aten::)?(as_strided|empty|empty_like|empty_strided|ones_like|resolve_conj|result_type|expand|to|_to_copy|detach)$")


def parent_of(event):
    """The nearest event around this one that is not an operation."""
    event = event.cpu_parent
    while event is not None and event.name.startswith("aten::"):
        event = event.cpu_parent
    return event and event.name


def outermost(prof):
    """Events that are neither inside an operation nor inside the run of a node, where ndgrad's rules compute on bare arrays."""
    for event in prof.function_events:
        above = event.cpu_parent
        while above is not None and not above.name.startswith(("aten::", "autograd::")):
            above = above.cpu_parent
        if above is None and not INSIDE.match(event.name):
            yield event


ONE_OPERATION = [
    "x * y", "x + y", "x - y", "x / y", "-x", "x @ w", "x.relu()", "x.sum()", "x.sum(0)", "x.mean()", "x.exp()", "x.t()", "x.pow(2)",
    "T.cat([x, y])", "T.stack([x, y])", "T.where(x > 0, x, y)", "x.clone()", "x.unsqueeze(0)", "x[0]", "x.softmax(-1)", "x > 0",
    "T.bmm(z, z)", "T.addmm(b, x, w)", "x.mv(v)", "v.dot(v)", "x.argmax(1)", "x.clamp(0, 1)", "x.view(-1)", "x.permute(1, 0)",
    "x.cumsum(0)",
    "x.tanh()", "x.sigmoid()", "T.maximum(x, y)", "x.amax(1)", "x.std()", "T.nn.functional.mse_loss(x, y)",
    "x.log_softmax(-1)", "x.atan2(y)", "x.log1p()", "x.sqrt()", "x.norm()", "x.add_(y)", "x.mul_(2)", "x.zero_()", "x.fill_(3)",
    "x.copy_(y)", "x.add_(y, alpha=2)", "x.addcmul_(y, y)", "x.lerp_(y, 0.5)", "x.clamp_(0)", "x.normal_()", "x.exp_()",
    "x.masked_fill_(x > 0, 1.0)", "x.sub_(y)", "x.sort()", "x.max(1)", "x.all()", "x.any()", "x.all(0)", "x.round()",
    "T.nn.functional.smooth_l1_loss(x, y)", "T.nn.functional.gelu(x)", "T.nn.functional.softplus(x)", "T.nn.functional.elu(x)",
    "x.index_select(0, i)", "x.gather(0, j)", "x.flip(0)", "x.prod()", "x.var(0)", "x.logsumexp(1)", "x.tril()", "x.isnan()",
    "x.cumprod(1)", "x.topk(2)", "x.roll(1)", "x.unbind()", "x.split(2)", "x.chunk(2)", "x.erf()", "x.sign()", "x.logical_not()",
    "x.repeat(2, 1)", "x.expand(2, 3, 4)", "x.squeeze()", "x.flatten()", "x.reshape(4, 3)", "x.double()",
]  # fmt: skip
#: Where torch shows several operations, or one inside the other: the one that ndgrad has.
INNER = {
    "x @ w": "aten::mm", "x.norm()": "aten::linalg_vector_norm", "T.nn.functional.mse_loss(x, y)": "aten::mse_loss",
    "T.nn.functional.smooth_l1_loss(x, y)": "aten::smooth_l1_loss", "x.chunk(2)": "aten::split", "x.flatten()": "aten::view",
    "x.reshape(4, 3)": "aten::view", "x.double()": "aten::_to_copy",
}  # fmt: skip


def events_of(library, expression, **options):
    library.manual_seed(0)
    scope = {
        "T": library, "x": library.ones(3, 4), "y": library.ones(3, 4), "w": library.ones(4, 3), "z": library.ones(2, 3, 3),
        "b": library.ones(3), "v": library.ones(4), "i": library.tensor([1]), "j": library.zeros(1, 4, dtype=library.long),
    }  # fmt: skip
    with library.autograd.profiler.profile(**options) as prof:
        eval(expression, scope)
    return prof


@pytest.mark.parametrize("expression", ONE_OPERATION)
def test_names_of_operations(expression):
    theirs = [event for event in events_of(torch, expression).function_events]
    ours = [event.name for event in events_of(ndgrad, expression).function_events if event.cpu_parent is None]
    top = [event.name for event in theirs if event.cpu_parent is None]
    expected = [INNER[expression]] if expression in INNER else top
    assert ours == expected
    assert set(ours) <= {event.name for event in theirs}


COUNTED = ["x * y", "x + y", "x @ w", "T.bmm(z, z)", "T.addmm(b, x, w)", "x * v", "v * x", "2 * x", "x - y", "x.add_(y)"]


@pytest.mark.parametrize("expression", COUNTED)
def test_flops_and_shapes(expression):
    theirs = events_of(torch, expression, with_flops=True)
    ours = events_of(ndgrad, expression, with_flops=True)
    assert sum(event.flops for event in ours.function_events) == sum(event.flops for event in theirs.function_events)
    (event,) = [event for event in ours.function_events if event.cpu_parent is None]
    twin = next(each for each in theirs.function_events if each.name == event.name)
    # parameters come after the operands in torch, and are no operands here
    assert [shape for shape in twin.input_shapes if shape] == [shape for shape in event.input_shapes if shape]


@program
def forward_and_backward(torch, show, attempt):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x * x

    x, w = torch.ones(4, 5, requires_grad=True), torch.ones(5, 3, requires_grad=True)
    for create_graph in (False, True):
        with torch.autograd.profiler.profile(profile_memory=False) as prof:
            with torch.autograd.profiler.record_function("outer"):
                with torch.autograd.profiler.record_function("inner"):
                    y = (x.mm(w) * x.mm(w)).relu()
                z = Cube.apply(y).sum()
            with torch.autograd.profiler.record_function("backward"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                z.backward(create_graph=create_graph)
        events = prof.function_events
        blocks = {"outer", "inner", "backward", "Cube"}
        show(sorted((each.name, parent_of(each)) for each in events if each.name in blocks or "Backward" in each.name))
        show([(each.key, each.count) for each in prof.key_averages() if each.key in blocks or "Backward" in each.key])
        # with create_graph the engine adds cotangents: in torch within the run of the node that they come from, here after it
        show([each.name for each in outermost(prof) if each.name != "aten::add"])
        show(sum(each.name == "torch::autograd::AccumulateGrad" for each in events))
        made = {}
        for each in events:
            if each.sequence_nr >= 0 and each.scope == 0 and not each.fwd_thread:
                made.setdefault(each.sequence_nr, (each.name, each.thread))
        for each in events:
            if each.scope == 1 and each.sequence_nr >= 0:
                name, thread = made[each.sequence_nr]
                show(each.name, name, each.fwd_thread == thread, each.cpu_parent.sequence_nr == each.sequence_nr)
        show([each.is_user_annotation for each in events if each.name in blocks])
        show([each.scope for each in events if each.name in blocks])


@program
def blocks(torch, show, attempt):
    @torch.autograd.profiler.record_function("decorated")
    def double(x):
        """Twice."""
        return x * 2

    show(double.__name__, double.__doc__)
    x = torch.ones(2)
    show(double(x))
    with torch.autograd.profiler.profile() as prof:
        double(double(x))
        with torch.autograd.profiler.record_function("same"), torch.autograd.profiler.record_function("same"):
            x.exp()
        try:
            with torch.autograd.profiler.record_function("failing"):
                x.view(7)
        except RuntimeError:
            pass
        with torch.autograd.profiler.record_function("after"):
            x.exp()
    show([(each.name, parent_of(each)) for each in prof.function_events if each.is_user_annotation])
    show([parent_of(each) for each in prof.function_events if each.name == "aten::exp"])
    attempt(lambda: torch.autograd.profiler.record_function("x").__exit__(None, None, None))


@program
def misuse(torch, show, attempt):
    profiler = torch.autograd.profiler
    prof = profiler.profile()
    show(repr(prof), str(prof))
    show(len(profiler.profile().key_averages()), profiler.profile().self_cpu_time_total, profiler.profile().table())
    with prof:
        torch.ones(2) * 2
        show(len(prof.key_averages()), len(prof.function_events))
    show(len(prof.key_averages()) > 0)
    attempt(prof.__enter__)
    attempt(lambda: prof.export_stacks("nowhere"))
    attempt(lambda: profiler.profile(use_cpu=False))
    attempt(lambda: profiler.profile(use_cpu=False, use_kineto=True))
    attempt(lambda: profiler.profile(post_processing_timeout_s=-1))
    attempt(lambda: prof.key_averages().key_averages())
    attempt(lambda: prof.table(sort_by="speed"))
    attempt(lambda: prof.key_averages().export_stacks("nowhere", "speed"))
    attempt(lambda: profiler.profile(enabled=False).__enter__())
    unique = profiler.EnforceUnique()
    unique.see(1, "a")
    attempt(lambda: unique.see(1, "a"))
    for use in ({"use_device": "cuda"}, {"use_device": "abacus"}, {"use_cuda": True}):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            profiler.profile(**use)
        show([(each.category.__name__, str(each.message)) for each in caught])


@program
def schedules(torch, show, attempt):
    profiler = torch.profiler
    settings = [
        {"wait": 1, "warmup": 1, "active": 2}, {"wait": 0, "warmup": 1, "active": 1, "repeat": 2},
        {"wait": 2, "warmup": 2, "active": 3, "skip_first": 3},
        {"wait": 2, "warmup": 1, "active": 1, "repeat": 2, "skip_first": 2, "skip_first_wait": 1}, {"wait": 1, "warmup": 0, "active": 1},
    ]  # fmt: skip
    for each in settings:
        plan = profiler.schedule(**each)
        show(each, [plan(step).name for step in range(16)])
        ready = []

        def remember(prof, ready=ready):
            steps = [event.trace_name for event in prof.events() if event.name == "ProfilerStep*"]
            ready.append((prof.step_num, steps, sum(event.name == "aten::mul" for event in prof.events())))

        with profiler.profile(activities=[profiler.ProfilerActivity.CPU], schedule=plan, on_trace_ready=remember) as prof:
            for _ in range(13):
                torch.ones(2) * torch.ones(2)
                prof.step()
        show(ready)
    attempt(lambda: profiler.schedule(wait=-1, warmup=0, active=1))
    attempt(lambda: profiler.schedule(wait=1, warmup=1, active=1)(-1))
    attempt(lambda: profiler.profile(activities=[]))
    attempt(lambda: profiler.profile().key_averages())
    attempt(lambda: profiler.profile().events())
    attempt(lambda: profiler.profile().export_chrome_trace("nowhere"))
    attempt(lambda: profiler.profile().export_stacks("nowhere"))
    attempt(lambda: profiler.profile().stop())
    attempt(lambda: profiler.profile(schedule=lambda step: profiler.ProfilerAction.DEVICE_STOPPED))
    show(profiler.supported_activities() >= {profiler.ProfilerActivity.CPU}, profiler.profile().get_trace_id())
    show([each.name for each in profiler.ProfilerAction])
    show(sorted((name, member.value) for name, member in profiler.ProfilerActivity.__members__.items()))


@program
def unusual_schedules(torch, show, attempt):
    action = torch.profiler.ProfilerAction
    for plan in (
        [action.WARMUP, action.NONE, action.RECORD_AND_SAVE, action.RECORD_AND_SAVE, action.NONE],
        [action.RECORD, action.NONE, action.WARMUP, action.RECORD, action.RECORD],
        [action.NONE, action.RECORD, action.RECORD_AND_SAVE, action.WARMUP, action.WARMUP],
    ):
        ready = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with torch.profiler.profile(
                schedule=lambda step, plan=plan: plan[step], on_trace_ready=lambda prof, to=ready: to.append(prof.step_num)
            ) as prof:
                for _ in range(4):
                    torch.ones(2) * torch.ones(2)
                    prof.step()
            show(ready, len([event for event in prof.events() if event.name == "aten::mul"]))
        show([str(each.message) for each in caught if "Incorrect" in str(each.message)])


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)


# ---------------------------------------------------------------- given events
def given(library, kinds=(), **common):
    """The same events on both sides."""
    util = library.autograd.profiler_util
    rows = [
        ("outer", 0, 2_000_000, {"cpu_memory_usage": 5 << 20}),
        ("aten::mul", 100, 1500, {"input_shapes": [[2, 3], []], "cpu_memory_usage": 2048, "flops": 6000}),
        ("aten::mul", 200, 300, {"input_shapes": [[7] * 40], "cpu_memory_usage": -100}),
        ("aten::add", 400, 1500, {"input_shapes": [[2, 3], []], "flops": 12_000_000}),
        ("x" * 70, 3_000_000, 3_000_001.5, {"cpu_memory_usage": -(3 << 30), "thread": 2}),
        ("aten::mul", 3_000_002, 3_000_002, {}),
        ("same", 4_000_000, 4_000_100, {}),
        ("same", 4_000_010, 4_000_090, {}),
        ("aten::add", 4_000_020, 4_000_040, {}),
        ("partly", 4_000_030, 4_000_095, {}),
    ]
    usual = {"input_shapes": [], "stack": [], "flops": 0, "overload_name": ""}
    events = util.EventList(
        [
            util.FunctionEvent(number, name, options.pop("thread", 1), start, end, **{**usual, **options, **common})
            for number, (name, start, end, options) in enumerate(rows)
        ],
        **dict.fromkeys(kinds, True),
    )
    events._build_tree()
    return events


@pytest.mark.parametrize("kinds", [(), ("profile_memory",), ("with_flops",), ("profile_memory", "with_flops")], ids="-".join)
def test_tables_are_equal_to_the_letter(kinds):
    theirs, ours = given(torch, kinds), given(ndgrad, kinds)
    options = [
        {}, {"sort_by": "self_cpu_time_total", "row_limit": 3}, {"sort_by": "cpu_memory_usage"}, {"header": "a header"},
        {"time_unit": "ms"},
        {"top_level_events_only": True, "row_limit": 2}, {"row_limit": -1, "max_name_column_width": 20}, {"max_name_column_width": None},
        {"max_shapes_column_width": 10}, {"max_shapes_column_width": None}, {"sort_by": "count", "time_unit": "s"},
        {"sort_by": "cuda_time_total"},
    ]  # fmt: skip
    for each in options:
        assert ours.table(**each) == theirs.table(**each), each
    for shapes in (False, True):
        mine, right = ours.key_averages(group_by_input_shapes=shapes), theirs.key_averages(group_by_input_shapes=shapes)
        for each in options:
            assert mine.table(**each) == right.table(**each), each
        assert repr(list(mine)).replace("  ", " ") == repr(list(right)).replace("  ", " ")
    assert repr(ours.total_average()).replace("  ", " ") == repr(theirs.total_average()).replace("  ", " ")
    assert ours.self_cpu_time_total == theirs.self_cpu_time_total


def test_tables_with_stacks_are_equal_to_the_letter():
    stack = ["/a/very/long/path/" * 6 + "program.py(12): inner", "program.py(20): <module>"]
    theirs, ours = given(torch, stack=stack), given(ndgrad, stack=stack)
    for each in ({}, {"max_src_column_width": 30}, {"max_src_column_width": None}, {"row_limit": 2}):
        assert ours.table(**each) == theirs.table(**each), each
        assert ours.key_averages(group_by_stack_n=2).table(**each) == theirs.key_averages(group_by_stack_n=2).table(**each), each


def test_the_tree_of_given_events():
    theirs, ours = given(torch), given(ndgrad)

    def shape(events):
        return [
            (each.id, each.cpu_parent and each.cpu_parent.id, [child.id for child in each.cpu_children], each.self_cpu_time_total)
            for each in events
        ]

    assert shape(ours) == shape(theirs)
    assert [repr(each) for each in ours] == [repr(each) for each in theirs]


def test_stacks_of_given_events(tmp_path):
    stack = ["program.py(12): in ner;", "program.py(20): <module>"]
    written = []
    for library in (torch, ndgrad):
        path = tmp_path / library.__name__
        given(library, stack=stack).export_stacks(str(path), "self_cpu_time_total")
        written.append(path.read_text())
    assert written[0] == written[1]
    assert written[0]


@pytest.mark.parametrize("options", [{}, {"profile_memory": True}, {"record_shapes": True}, {"with_flops": True}], ids=str)
def test_columns_of_a_recorded_table(options):
    headers = []
    for library in (torch, ndgrad):
        table = events_of(library, "(x @ w) * 2 + b", **options).key_averages(group_by_input_shape="record_shapes" in options).table()
        headers.append(re.split(r"\s{2,}", table.splitlines()[1].strip()))
        assert len(headers[-1]) > 6
        assert re.search(r"\nSelf CPU time total: \d+\.\d{3}[mu]s\n$", table)
    assert headers[0] == headers[1]


def test_the_trace_has_torchs_fields(tmp_path):
    traces = []
    for library in (torch, ndgrad):
        x = library.ones(3, 4, requires_grad=True)
        with library.autograd.profiler.profile(record_shapes=True) as prof:
            with library.autograd.profiler.record_function("block"):
                y = (x.exp() * x).sum()
            y.backward()
        path = tmp_path / f"{library.__name__}.json"
        prof.export_chrome_trace(str(path))
        traces.append(json.loads(path.read_text()))
    theirs, ours = traces
    assert ours.keys() <= theirs.keys()
    assert theirs.keys() - ours.keys() == {"host_name"}

    def one(trace, name):
        return next(event for event in trace["traceEvents"] if event["name"] == name)

    for name in ("block", "aten::exp", "ExpBackward0", "autograd::engine::evaluate_function: ExpBackward0"):
        right, mine = one(theirs, name), one(ours, name)
        assert right.keys() == mine.keys()
        assert (right["ph"], right["cat"]) == (mine["ph"], mine["cat"])
        own = mine["args"].keys() - {"flops", "Bytes", "Call stack"}
        assert own <= right["args"].keys()
        for field in ("Input Dims", "Input type", "Input Strides"):
            if field in own and name != "block":
                assert right["args"][field] == mine["args"][field]

    def arrows(trace):
        return sorted((event["ph"], event.get("bp"), event["name"]) for event in trace["traceEvents"] if event.get("cat") == "fwdbwd")

    assert arrows(theirs) == arrows(ours)


def test_public_names():
    for name in ("autograd.profiler", "autograd.profiler_util", "autograd.profiler_legacy", "profiler"):
        theirs, ours = torch, ndgrad
        for part in name.split("."):
            theirs, ours = getattr(theirs, part), getattr(ours, part)
        assert set(theirs.__all__) == set(ours.__all__), name
    util = ndgrad.autograd.profiler_util
    assert util.EventMetadata._fields == torch.autograd.profiler_util.EventMetadata._fields
    assert util.Kernel._fields == torch.autograd.profiler_util.Kernel._fields
    for kind in (util.FunctionEventAvg, torch.autograd.profiler_util.FunctionEventAvg):
        assert kind().cpu_time == 0.0
        assert kind().cpu_time_str == "0.000us"
    assert vars(torch.autograd.profiler_util.FunctionEventAvg()).keys() <= vars(util.FunctionEventAvg()).keys()
    assert {each.name: each.value for each in ndgrad.autograd.DeviceType} == {
        name: member.value for name, member in torch.autograd.DeviceType.__members__.items()
    }
