"""What a graph holds: sizes, the report of saved tensors, and the graphs that are alive."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

import ndgrad as torch
from ndgrad.autograd.graph import get_gradient_edge, graph_size, live_graphs, peak_memory, saved_report
from ndgrad.autograd.inspection import inventory


def line_of(row):
    return int(row.line.rpartition(":")[2])


def test_graph_size_counts_nodes_leaves_saved_tensors_and_bytes():
    a, b = torch.ones(10, requires_grad=True), torch.ones(10, requires_grad=True)
    h = a.sin() * b  # sin saves a, which is a leaf's; mul saves b, which is one too, and the sine
    size = graph_size(h.sum())
    assert size == (3, 2, 3, 40) and size.bytes == 40 and size.nodes == 3 and size.leaves == 2 and size.saved == 3
    assert graph_size(a) == (0, 1, 0, 0)
    assert graph_size([h, a.cos()]).nodes == 3


def test_graph_size_of_a_freed_graph_is_that_of_its_nodes_alone():
    a = torch.ones(10, requires_grad=True)
    loss = a.exp().sum()
    assert graph_size(loss) == (2, 1, 1, 40)
    loss.backward()
    assert graph_size(loss) == (2, 1, 0, 0) and len(saved_report(loss)) == 0


def test_a_million_nodes_are_counted_without_recursion():
    h = torch.tensor(1.0, requires_grad=True)
    for _ in range(1_000_000):
        h = h * 0.5
    assert graph_size(h)[:2] == (1_000_000, 1)


@pytest.mark.parametrize("edge", [lambda t: t, lambda t: t.grad_fn, get_gradient_edge, lambda t: [t]])
def test_what_stands_for_a_graph(edge):
    t = torch.ones(3, requires_grad=True).exp()
    assert graph_size(edge(t)).nodes == 1 and len(saved_report(edge(t))) == 1


def test_without_a_graph_there_is_nothing_to_report():
    with pytest.raises(RuntimeError, match="element 1 of tensors does not require grad and does not have a grad_fn"):
        saved_report([torch.ones(1, requires_grad=True), torch.ones(1)])


# ---------------------------------------------------------------- the rows
def test_rows_say_what_was_saved_where_and_as_what():
    w = torch.ones(4, 3, requires_grad=True)
    x = torch.ones(2, 4)
    h = torch.tanh(x @ w)
    report = saved_report(h * h)
    first = [(row.op, row.name, row.shape, row.dtype, row.bytes) for row in report]
    assert first == [
        ("MmBackward0", "self", (2, 4), torch.float32, 32),
        ("TanhBackward0", "result", (2, 3), torch.float32, 24),
        ("MulBackward0", "other", (2, 3), torch.float32, 24),
        ("MulBackward0", "self", (2, 3), torch.float32, 24),
    ]
    for row in report:
        node = next(each for each in nodes_of(h * h) if each.name() == row.op)
        assert getattr(node, f"_saved_{row.name}").shape == row.shape
    assert all(row.line.startswith(__file__) for row in report) and line_of(report[2]) == line_of(report[0]) + 1
    assert [row.counted for row in report] == [32, 24, 0, 0] and report.total == 56
    assert [other.number for other in report[1].shared_with] == [3, 4] and report[0].shared_with == ()


def nodes_of(tensor):
    found = [tensor.grad_fn]
    for node in found:
        found += [following for following, _ in node.next_functions if following is not None]
    return found


def test_views_of_one_memory_are_counted_once_with_all_of_it():
    base = torch.ones(1000)
    w = torch.ones(3, requires_grad=True)
    report = saved_report((base[:3] * w).sum() + (base[10:13] * w).sum())
    assert [(row.bytes, row.counted) for row in report] == [(12, 4000), (12, 0)]
    assert report.total == 4000 and report[0].shared_with == (report[1],)


def test_what_leaves_hold_is_named_and_not_counted():
    weight = torch.ones(5, requires_grad=True)
    report = saved_report((weight * weight).sum())
    assert report.total == 0 and report.of_leaves == 20 and {row.leaf for row in report} == {"weight"}
    assert {row.leaf for row in saved_report((weight * weight).sum(), names={"w": weight})} == {"w"}
    assert graph_size((weight * weight).sum()).bytes == 0


def test_indices_and_contexts_of_functions_are_found():
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.factor = x * 0 + 3
            ctx.save_for_backward(x)
            return x * ctx.factor

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor

    x = torch.ones(6, requires_grad=True)
    rows = {(row.op, row.name, row.bytes) for row in saved_report(Scaled.apply(x * 1)[torch.tensor([0, 1])])}
    assert {("ScaledBackward", "saved0", 24), ("ScaledBackward", "ctx.factor", 24)} <= rows
    assert any(op == "IndexBackward0" and size == 16 for op, _, size in rows)


def test_packed_residuals_have_a_row_and_no_bytes():
    a = torch.ones(3, requires_grad=True).exp()
    node = a.grad_fn
    node.saved = (["somebody's own object"], *node.saved[1:])
    (row,) = saved_report(a)
    assert (row.shape, row.dtype, row.bytes, row.counted) == (None, None, 0, 0) and "packed" in str(saved_report(a))


def test_the_table_can_be_read():
    w = torch.ones(500, requires_grad=True)
    text = str(saved_report((torch.exp(w * w) * 2).sum()))
    head, *rows, last = text.splitlines()
    assert head.split() == ["op", "saved", "shape", "dtype", "bytes", "line", "shared", "with"]
    assert len(rows) == 3 and "leaf w; row 2" in rows[0] and "[500]" in rows[0] and "2,000" in rows[0] and "test_inventory.py:" in rows[0]
    assert last == "3 saved tensors keep 2 KB alive; 2 KB more belong to leaves"
    assert str(saved_report(torch.exp(w * 2))).endswith("1 saved tensor keeps 2 KB alive")
    assert inventory.amount(999) == "999 bytes" and inventory.amount(1_500_000) == "1.5 MB" and inventory.amount(10**11) == "100 GB"


def test_a_long_table_shows_what_holds_most_and_all_of_it_where_asked():
    x = torch.ones(10, requires_grad=True)
    y = x
    for number in range(100):
        y = torch.exp(y)
        if number == 50:
            y = torch.sin(torch.cat([y] * 1000)).sum() * torch.ones(10)
    report = saved_report(y)
    head, *rows, rest, last = str(report).splitlines()
    assert len(rows) == inventory.ROWS == 40 and len(report) > 100
    assert any("SinBackward0" in row and "40,000" in row for row in rows)
    numbers = [int(row.split()[0]) for row in rows]
    assert numbers == sorted(numbers)
    hidden = [row for row in report if row.number not in numbers]
    assert rest.startswith(f"... {len(hidden)} more rows with {inventory.amount(sum(row.counted for row in hidden))} of their own")
    assert last.startswith(f"{len(report)} saved tensors keep {inventory.amount(report.total)} alive")
    assert len(report.table().splitlines()) == len(report) + 2 and report.table().splitlines()[0].split() == head.split()
    assert len(report.table(5).splitlines()) == 5 + 3


# ---------------------------------------------------------------- the total is measured
def network():
    data = torch.ones(200, 300)
    weights = [torch.full((300, 300), 0.01, requires_grad=True) for _ in range(4)]
    h = data * 1.0
    for weight in weights:
        h = torch.relu(h @ weight)
        h = h + torch.tanh(h)
    return weights, (h[:, torch.arange(100)] * h[:, :100]).var() + torch.softmax(h, 1).log().mean()


def test_the_total_is_what_freeing_the_graph_frees():
    network()
    tracemalloc.start()
    try:
        weights, loss = network()
        report = saved_report(loss)
        total, size = report.total, graph_size(loss)
        del report
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        del loss
        gc.collect()
        freed = before - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert total == size.bytes > 2_000_000 and len(weights) == 4
    assert 0 <= freed - total < 40_000, "beside the arrays there are only nodes and tensors"


def test_a_report_keeps_nothing_alive():
    a = torch.ones(1000, requires_grad=True)
    saved_report((a * 1).exp().sum())
    tracemalloc.start()
    try:
        loss = (a * 1).exp().sum()
        report = saved_report(loss)
        before = tracemalloc.get_traced_memory()[0]
        del loss
        assert before - tracemalloc.get_traced_memory()[0] > 3900
    finally:
        tracemalloc.stop()
    assert report.total == 4000


# ---------------------------------------------------------------- what is alive
def test_live_graphs_names_who_holds_them():
    before = len(live_graphs())
    a = torch.ones(1000, requires_grad=True)
    history = [a.exp(), a.sin()]
    total = (history[0] * 2).sum()
    found = live_graphs()
    assert len(found) == before + 2
    largest = next(graph for graph in found if "total" in graph.holders)
    assert largest.op == "SumBackward0" and largest.size.nodes == 3 and largest.size.bytes == 4000 and __file__ in largest.line
    assert any("history[1]" in graph.holders for graph in found)
    assert "3 nodes, 4 KB; held by total" in str(largest)
    del total, history, found, largest
    assert len(live_graphs()) == before


def test_live_graphs_asks_nothing_of_foreign_objects():
    class Lazy:
        @property
        def __class__(self):
            raise AssertionError("somebody asked")

    def keep(lazy=Lazy()):  # noqa: B008  # held, but by no variable that is looked into for names
        return lazy

    live_graphs()
    assert type(keep()) is Lazy


def test_peak_memory_of_a_block():
    x = torch.ones(100_000, requires_grad=True)
    y = (x.sin() * 2).sum()
    with peak_memory() as peak:
        y.backward()
    assert 800_000 <= peak.bytes < 2_000_000 and str(peak).endswith("B")
    assert not tracemalloc.is_tracing()
    with pytest.raises(ZeroDivisionError), peak_memory() as peak:
        torch.ones(50_000)
        raise ZeroDivisionError
    assert 200_000 <= peak.bytes < 300_000 and not tracemalloc.is_tracing()
