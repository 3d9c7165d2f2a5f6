"""Pictures of graphs: what they show, that nothing is merged that is not one, and that size is no obstacle.

The golden files in tests/golden/pictures are what a person has looked at and found right; `python -m tests.test_viz` writes them anew.
"""

from __future__ import annotations

import json
import re
import weakref
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.autograd.graph import get_gradient_edge

GOLDEN = Path(__file__).parent / "golden" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"

#: Programs by name; each leaves `loss` and, for the drawing, whatever else it names. The lines of pictures are lines of these.
PROGRAMS = {
    "step": """
x = torch.ones(4, 3)
w = torch.full((3, 2), 0.5, requires_grad=True)
b = torch.zeros(2, requires_grad=True)
h = torch.tanh(x @ w + b)
loss = (h * h).sum()
""",
    "blocks": """
x = torch.ones(2, 3, requires_grad=True)
weights = [torch.full((3, 3), 0.1 * (n + 1), requires_grad=True) for n in range(4)]
h = x * 2.0
for weight in weights:
    h = h + torch.relu(h @ weight)
loss = h.sum()
""",
    "branches": """
a = torch.ones(3, requires_grad=True)
p, q = (a * 2).exp(), (a + 1).log()
top, bottom = torch.stack([p * q, p]).unbind(0)
loss = (top - bottom).sum()
""",
}


def run(name):
    """The variables that one of the programs leaves."""
    variables = {"torch": torch}
    exec(compile(PROGRAMS[name].lstrip(), "model.py", "exec"), variables)
    return variables


def drawn(name, **options):
    """A program's graph after its backward, drawn before it."""
    variables = run(name)
    names = {key: value for key, value in variables.items() if key not in ("torch", "weight")}
    drawing = torch.viz.graph(variables["loss"], names=names, **options)
    variables["loss"].backward()
    return drawing.refresh()


FORMS = {"txt": "text", "mmd": "mermaid", "dot": "dot"}


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_pictures_as_text_are_those_that_were_looked_at(name, suffix):
    assert getattr(drawn(name), FORMS[suffix])().strip() == (GOLDEN / f"{name}.{suffix}").read_text(encoding="utf-8").strip()


# ---------------------------------------------------------------- what is one and what is two
def chain(count, value=1.0):
    h = torch.tensor(value, requires_grad=True)
    for _ in range(count):
        h = h * 0.5
    return h


def boxes(drawing, kind):
    return [box for box in drawing.picture.boxes if box.kind == kind]


def test_equal_saved_tensors_stay_two_and_one_that_two_operations_saved_is_one():
    a, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    loss = (a.sin() + b.sin()).sum()
    assert len(boxes(torch.viz.graph(loss, saved=True), "saved")) == 2
    c = torch.ones(3, requires_grad=True)
    loss = (c.sin() + c.cos()).sum()
    drawing = torch.viz.graph(loss, saved=True)
    (kept,) = boxes(drawing, "saved")
    at = drawing.picture.boxes.index(kept)
    assert sum(source == at for source, _ in drawing.picture.arrows) == 2


def test_equal_leaves_and_operations_stay_two():
    a, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    drawing = torch.viz.graph((a * 2 + b * 2).sum())
    assert [box.title for box in boxes(drawing, "leaf")] == ["a", "b"]
    assert [box.title for box in boxes(drawing, "op")].count("Mul") == 2


def test_a_tensor_used_twice_by_one_operation_has_one_box():
    a = torch.ones(3, requires_grad=True)
    drawing = torch.viz.graph((a * a).sum())
    assert len(drawing.picture.boxes) == 3 and len(drawing.picture.arrows) == 2


def test_a_drawing_keeps_nothing_alive():
    a = torch.ones(3, requires_grad=True)
    loss = a.sin().sum()
    node, leaf = weakref.ref(loss.grad_fn), weakref.ref(a)
    drawing = torch.viz.graph(loss)
    del a, loss
    assert node() is None and leaf() is None
    assert str(drawing.refresh()).splitlines()[-1].startswith("○ a ")


# ---------------------------------------------------------------- folding
def residual(count, width=3):
    weights = [torch.full((width, width), 0.1, requires_grad=True) for _ in range(count)]
    h = torch.ones(2, width, requires_grad=True) * 1.0
    for weight in weights:
        h = h + torch.relu(h @ weight)
    return h.sum()


def test_repeated_blocks_are_folded_with_all_that_belongs_to_them():
    loss = residual(12)
    drawing = torch.viz.graph(loss)
    (block,) = drawing.picture.blocks
    assert (block.count, block.period) == (12, 3)
    inside = [box for box in drawing.picture.boxes if box.block == 0]
    assert [box.title for box in inside if box.kind == "op"] == ["Mm", "Relu", "Add"] and all(box.count == 12 for box in inside)
    assert sum(box.held for box in drawing.picture.boxes) == torch.autograd.graph.graph_size(loss).bytes
    assert "x12" in drawing.text()
    loss.backward()
    (weights,) = [box for box in drawing.refresh().picture.boxes if box.kind == "leaf" and box.count == 12]
    assert weights.norms is not None and weights.norms[0] < weights.norms[1]


def test_what_goes_from_one_repetition_to_the_next_is_shown():
    w, h = torch.ones(2, 2, requires_grad=True), torch.zeros(1, 2)
    for _ in range(6):
        h = torch.tanh(h @ w + 1.0)
    drawing = torch.viz.graph(h.sum())
    title = {at: box.title for at, box in enumerate(drawing.picture.boxes)}
    assert drawing.picture.blocks[0].count == 6
    assert [(title[source], title[target]) for source, target in drawing.picture.carried] == [("Tanh", "Mm")]
    assert "↺ Tanh" in drawing.text() or "↺ h = Tanh" in drawing.text()
    tree = ElementTree.fromstring(drawing.svg())
    assert len([each for each in tree.iter(f"{SVG}path") if "carried" in each.get("class")]) == 1
    assert [each.get("data-n") for each in tree.iter(f"{SVG}g") if each.get("class") == "chip again"]


def test_unfolded_every_node_has_a_box():
    drawing = torch.viz.graph(residual(12), fold=False)
    assert len(boxes(drawing, "op")) == 38 and len(boxes(drawing, "leaf")) == 13 and not drawing.picture.blocks


def test_blocks_within_blocks():
    h = torch.ones(2, requires_grad=True)
    for _ in range(5):
        for _ in range(4):
            h = (h * 0.5).sin()
        h = h.exp()
    drawing = torch.viz.graph(h.sum())
    assert [(block.count, block.period, block.parent) for block in drawing.picture.blocks] == [(5, 9, -1), (4, 2, 0)]
    assert [box.count for box in drawing.picture.boxes if box.title in ("Mul", "Sin", "Exp")] == [20, 20, 5]


def test_what_differs_is_not_folded():
    h = torch.ones(2, 2, requires_grad=True)
    for operation in (torch.sin, torch.cos, torch.exp, torch.tanh, torch.sin, torch.exp):
        h = operation(h)
    assert not torch.viz.graph(h.sum()).picture.blocks
    h = torch.ones(1, requires_grad=True)
    for _ in range(6):
        h = torch.cat([h, h])  # each of another shape
    assert not torch.viz.graph(h.sum()).picture.blocks


def test_a_constant_of_the_loop_does_not_hide_the_repetition():
    u = torch.ones(3, requires_grad=True) * 2.0
    h = torch.zeros(3)
    for _ in range(10):
        h = torch.tanh(h + u)
    (block,) = torch.viz.graph(h.sum()).picture.blocks
    assert (block.count, block.period) == (10, 2)


# ---------------------------------------------------------------- names
def test_names_are_the_callers_variables():
    shared = torch.ones(2, requires_grad=True)
    layers = {"first": [torch.ones(2, requires_grad=True)]}
    model = SimpleNamespace(scale=torch.ones(2, requires_grad=True))
    result = (shared * layers["first"][0] * model.scale).sum()
    drawing = torch.viz.graph(result)
    assert {box.title for box in boxes(drawing, "leaf")} == {"shared", "layers['first'][0]", "model.scale"}
    assert boxes(drawing, "op")[-1].label == "result = Sum"


def test_the_variable_of_a_loop_does_not_hide_the_name_in_a_container():
    params = {"weight": torch.ones(2, requires_grad=True), "bias": torch.ones(2, requires_grad=True)}
    w = b = torch.ones(2, requires_grad=True)
    pair = [w, torch.ones(2, requires_grad=True)]
    both = [b]
    for p in params.values():
        p.grad = None
    loss = (params["weight"] * params["bias"] * p * w * both[0] * pair[1]).sum()
    assert {box.title for box in boxes(torch.viz.graph(loss), "leaf")} == {"params['weight']", "params['bias']", "pair[0]", "pair[1]"}
    del pair
    assert {box.title for box in boxes(torch.viz.graph(loss), "leaf")} >= {"params['weight']", "params['bias']", "w"}


def test_names_can_be_given():
    a = torch.ones(2, requires_grad=True)
    assert boxes(torch.viz.graph(a.sum(), names={"other name": a}), "leaf")[0].title == "other name"
    module = SimpleNamespace(named_parameters=lambda: [("inner.weight", a)])
    assert boxes(torch.viz.graph(a.sum(), names=module), "leaf")[0].title == "inner.weight"
    with pytest.raises(TypeError, match="names must be a dict"):
        torch.viz.graph(a.sum(), names=["a"])


def test_reading_names_keeps_no_variable_alive():
    big = torch.ones(4, requires_grad=True)
    torch.viz.graph(big.sum())
    gone = weakref.ref(big)
    del big
    assert gone() is None


def test_gradients_of_results_that_retain_theirs_are_shown():
    a = torch.ones(4, requires_grad=True)
    h = a * 3.0
    h.retain_grad()
    loss = h.sum()
    drawing = torch.viz.graph(loss)
    loss.backward()
    found = {box.label: box.norm for box in drawing.refresh().picture.boxes}
    assert found == {"a": "6", "h = Mul": "2", "loss = Sum": ""}


# ---------------------------------------------------------------- what may be drawn
def test_roots_may_be_several_or_nodes_or_edges_or_leaves():
    a = torch.ones(2, requires_grad=True)
    first, second = a.sin(), a.cos()
    assert [box.root for box in torch.viz.graph([first, second]).picture.boxes] == [False, True, True]
    for root in (first.grad_fn, get_gradient_edge(first)):
        assert boxes(torch.viz.graph(root), "op")[0].title == "Sin"
    assert [box.kind for box in torch.viz.graph(a).picture.boxes] == ["leaf"]


def test_what_has_no_graph_is_an_error():
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"):
        torch.viz.graph(torch.ones(2))
    with pytest.raises(TypeError, match="expected a tensor, a node or a gradient edge at position 1, not str"):
        torch.viz.graph([torch.ones(2, requires_grad=True), "x"])
    with pytest.raises(ValueError, match="limit must be at least 2"):
        torch.viz.graph(torch.ones(2, requires_grad=True), limit=1)


def test_custom_functions_and_several_outputs():
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, first, second):
            return first * 2 + second * 3

    one, two = Both.apply(torch.ones(3, requires_grad=True))
    text = torch.viz.graph((one * two).sum()).text()
    assert "one, two = Both" in text and "2 outputs of 3" in text


# ---------------------------------------------------------------- SVG and HTML
def test_the_svg_is_xml_with_a_box_a_wire_and_a_title_for_each(tmp_path):
    drawing = drawn("branches")
    tree = ElementTree.fromstring(drawing.svg())
    groups = [each for each in tree.iter(f"{SVG}g") if "box" in each.get("class", "").split()]
    assert len(groups) == len(drawing.picture.boxes)
    assert all((each.findtext(f"{SVG}title") or "").strip() for each in groups)
    wires = [(int(each.get("data-s")), int(each.get("data-t"))) for each in tree.iter(f"{SVG}path")]
    assert sorted(wires) == sorted(drawing.picture.arrows)
    assert drawing._repr_svg_() == drawing.svg()
    assert "<image" not in drawing.svg() and "href" not in drawing.svg()


@pytest.mark.parametrize("name", PROGRAMS)
def test_boxes_do_not_overlap_and_wires_lead_downwards_from_box_to_box(name):
    drawing = drawn(name)
    rectangles = placed(drawing.svg())
    for at, (x, y, width, height) in rectangles.items():
        for other, (left, top, wide, high) in rectangles.items():
            assert other <= at or x + width <= left or left + wide <= x or y + height <= top or top + high <= y
    for source, target in drawing.picture.arrows:
        assert rectangles[source][1] + rectangles[source][3] <= rectangles[target][1]


def placed(svg):
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if "box" in group.get("class", "").split():
            x, y = map(float, re.findall(r"[-\d.]+", group.get("transform")))
            rect = group.find(f"{SVG}rect")
            found[int(group.get("data-n"))] = (x, y, float(rect.get("width")), float(rect.get("height")))
    return found


def test_the_page_is_self_contained_and_names_cannot_break_it():
    a = torch.ones(2, requires_grad=True)
    hostile = "</script><script>alert('@data@')</script> & \"quoted\""
    page = torch.viz.graph((a * 2).sum(), names={hostile: a}, title="<b>@script@").html()
    assert page.count("<script") == page.count("</script>") == 2 and "alert('@data@')</script>" not in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["boxes"][0]["label"] == hostile and "<title>&lt;b&gt;@script@</title>" in page
    assert not re.search(r'(src|href)=|https?://(?!www\.w3\.org/2000/svg")', page)
    ElementTree.fromstring(torch.viz.graph((a * 2).sum(), names={hostile: a}).svg())


def test_save_goes_by_the_suffix(tmp_path):
    drawing = drawn("step")
    beginnings = {"txt": "5 nodes", "mmd": "flowchart", "dot": "digraph", "gv": "digraph", "svg": "<svg", "html": "<!DOCTYPE html>"}
    for suffix, start in beginnings.items():
        drawing.save(tmp_path / f"picture.{suffix}")
        assert (tmp_path / f"picture.{suffix}").read_text(encoding="utf-8").startswith(start)
    with pytest.raises(ValueError, match=r"must end in one of \.txt"):
        drawing.save(tmp_path / "picture.png")


# ---------------------------------------------------------------- size
def test_a_chain_of_300_000_nodes_is_folded_and_drawn_in_every_form():
    drawing = torch.viz.graph(chain(300_000))
    assert drawing.picture.nodes == 300_000 and len(drawing.picture.boxes) < 8
    assert all(getattr(drawing, form)() for form in ("text", "mermaid", "dot", "svg", "html"))


def test_an_unfolded_chain_is_elided_in_the_middle():
    drawing = torch.viz.graph(chain(50_000), fold=False, limit=10)
    (gap,) = boxes(drawing, "gap")
    assert gap.count == 49_990 and len(boxes(drawing, "op")) == 10 and "49,990 more" in drawing.text()
    assert len(drawing.picture.arrows) == 11


def test_a_long_tree_stays_narrow_and_is_printed_in_part():
    drawing = torch.viz.graph(chain(4000), fold=False)
    assert len(drawing.text().splitlines()) == 4002
    assert len(str(drawing).splitlines()) == 152 and "3,851 more lines" in str(drawing)
    assert max(map(len, drawing.text().splitlines())) < 80


def test_a_tall_picture_is_cut_into_columns_and_far_leaves_become_chips():
    weight, h = torch.ones(3, requires_grad=True), torch.ones(3)
    for _ in range(500):
        h = torch.tanh(h * weight + 1.0)
    svg = torch.viz.graph(h.sum(), fold=False).svg()
    tree = ElementTree.fromstring(svg)
    assert 0.5 < float(tree.get("width")) / float(tree.get("height")) < 4
    chips = [each for each in tree.iter(f"{SVG}g") if each.get("class") == "chip"]
    assert len(chips) > 490 and {each.get("data-n") for each in chips} == {"0"}
    rectangles = list(placed(svg).values())
    keys = {(round(x), round(y)) for x, y, _, _ in rectangles}
    assert len(keys) == len(rectangles) == 1502


def test_a_dense_graph_of_random_operations_is_drawn(tmp_path):
    random = np.random.default_rng(0)
    values = [torch.ones(2, requires_grad=True) for _ in range(5)]
    for _ in range(400):
        first, second = random.integers(max(0, len(values) - 40), len(values), 2)
        values.append(values[first] * values[second] if random.random() < 0.5 else values[first] + values[second])
    drawing = torch.viz.graph(values[-30:])
    tree = ElementTree.fromstring(drawing.svg())
    ends = {(int(each.get("data-s")), int(each.get("data-t"))) for each in tree.iter(f"{SVG}path")}
    assert ends == set(drawing.picture.arrows) and drawing.text().count("\n") > 300


def test_viz_is_imported_when_it_is_asked_for():
    assert torch.viz.graph is not None
    with pytest.raises(AttributeError, match="module 'ndgrad' has no attribute 'vizz'"):
        _ = torch.vizz


def write_golden_files():
    for name in PROGRAMS:
        for suffix, form in FORMS.items():
            (GOLDEN / f"{name}.{suffix}").write_text(getattr(drawn(name), form)().rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden_files()
