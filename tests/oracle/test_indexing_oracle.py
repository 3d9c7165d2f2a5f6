"""Indexing under torch and under ndgrad: the same values, strides, nodes, gradients and errors."""

import ast
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ndgrad

SETTINGS = settings(max_examples=400, deadline=None)


# ---------------------------------------------------------------- random keys
@st.composite
def keys(draw, shape, *, wrong=True):
    """Source text of an index for a tensor of the shape, now and then one that is out of range."""
    sizes = list(shape)
    parts, common = [], draw(st.sampled_from([(2,), (1,), (3, 2), (0,), ()]))
    while sizes and draw(st.integers(0, 9)) < 8:
        size = sizes.pop(0)
        kind = draw(st.sampled_from(["int", "slice", "full", "tensor", "list", "none", "mask", "zero_dim", "bool", "array"]))
        if size == 0 and kind in ("int", "tensor", "list", "zero_dim", "array"):
            kind = "slice"
        low = -size - (1 if wrong and 0 not in shape and draw(st.integers(0, 40)) == 0 else 0)
        place = st.integers(low, max(size - 1, low))
        if kind == "int":
            parts.append(str(draw(place)))
        elif kind == "slice":
            bound = st.one_of(st.none(), st.integers(-5, 5))
            start, stop, step = draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3]))
            parts.append(":".join("" if each is None else str(each) for each in (start, stop, step)))
        elif kind == "full":
            parts.append(":")
        elif kind in ("tensor", "array"):
            count = int(np.prod(common))
            numbers = draw(st.lists(place, min_size=count, max_size=count))
            text = f"np.array({numbers}, dtype=np.int64).reshape({common})"
            parts.append(f"torch.from_numpy({text})" if kind == "tensor" else text)
        elif kind == "list":
            parts.append(str(draw(st.lists(place, min_size=1, max_size=2))))
        elif kind == "none":
            parts.append("None")
            sizes.insert(0, size)
        elif kind == "bool":
            parts.append(draw(st.sampled_from(["True", "False"])))
            sizes.insert(0, size)
        elif kind == "zero_dim":
            parts.append(f"torch.tensor({draw(place)})")
        else:
            covered = [size]
            if sizes and draw(st.booleans()):
                covered.append(sizes.pop(0))
            count = int(np.prod(covered))
            flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
            parts.append(f"torch.from_numpy(np.array({flags}, dtype=bool).reshape({tuple(covered)}))")
    if draw(st.integers(0, 5)) == 0:
        parts.insert(draw(st.integers(0, len(parts))), "...")
    if len(parts) == 1 and draw(st.booleans()):
        return parts[0]
    return ", ".join(parts) + ("," if len(parts) == 1 else "") if parts else "()"


shapes = st.lists(st.sampled_from([0, 1, 2, 3, 4]), min_size=0, max_size=4).map(tuple)
layouts = st.sampled_from(["plain", "permuted", "strided", "expanded"])


def tensor(library, shape, layout):
    """The same numbers in the same memory layout on both sides."""
    rng = np.random.default_rng(3)
    if layout == "permuted":
        leaf = library.from_numpy(rng.standard_normal(shape[::-1]))
        return leaf.requires_grad_(), lambda: (leaf * 1).permute(*range(len(shape))[::-1]) if shape else leaf * 1
    if layout == "strided":
        leaf = library.from_numpy(rng.standard_normal(tuple(2 * size for size in shape)))
        return leaf.requires_grad_(), lambda: (leaf * 1)[tuple(slice(None, None, 2) for _ in shape)]
    if layout == "expanded" and shape and 0 not in shape:
        leaf = library.from_numpy(rng.standard_normal((1, *shape[1:])))
        return leaf.requires_grad_(), lambda: (leaf * 1).expand(shape)
    leaf = library.from_numpy(np.asarray(rng.standard_normal(shape)))
    return leaf.requires_grad_(), lambda: leaf * 1


def names(out):
    found, node = [], out.grad_fn
    while node is not None and len(found) < 12:
        found.append(node.name().removeprefix("torch::autograd::"))
        node = node.next_functions[0][0] if node.next_functions else None
    return found


def outcome(action):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return action()
    except Exception as error:
        return type(error).__name__, str(error).split("\n")[0][:45]


def read(library, shape, layout, key):
    def action():
        leaf, make = tensor(library, shape, layout)
        x = make()
        out = eval(f"x[{key}]", {"x": x, "np": np, "torch": library})
        weights = library.from_numpy(np.asarray(np.random.default_rng(5).standard_normal(tuple(out.shape))))
        (gradient,) = library.autograd.grad((out * out * weights).sum(), leaf, create_graph=True)
        (second,) = library.autograd.grad((gradient * gradient).sum(), leaf, allow_unused=True)
        return {
            "value": out.tolist(),
            "shape": tuple(out.shape),
            "strides": (out.stride() if out.numel() or layout != "expanded" else None)
            if out._base is not None
            else steps_taken(out),
            "offset": out.storage_offset() if out._base is not None and out.numel() else 0,
            "view": out._base is not None,
            "nodes": names(out),
            "gradient": np.round(gradient.detach().numpy(), 10).tolist(),
            "second": None if second is None else np.round(second.numpy(), 9).tolist(),
        }

    return outcome(action)


def steps_taken(out):
    """The strides of a copy, of the dims that have more than one position: torch's others depend on how it would have copied."""
    return [step for step, size in zip(out.stride(), out.shape, strict=True) if size > 1] if out.numel() else []


def with_expectation(ours, theirs):
    if isinstance(theirs, tuple) and isinstance(ours, tuple):
        # the same exception and the same first words; numbers come with more of them here, and where two indices are out of bounds
        # either may be the one that is named
        both_out = "out of bounds" in ours[1] and "out of bounds" in theirs[1]
        return ours[0] == theirs[0] and (both_out or ours[1][:30] == theirs[1][:30])
    return ours == theirs


@SETTINGS
@given(st.data())
def test_reading(data):
    shape = data.draw(shapes)
    layout, key = data.draw(layouts), data.draw(keys(shape))
    theirs, ours = read(torch, shape, layout, key), read(ndgrad, shape, layout, key)
    if refuses_a_position_that_nothing_is_read_from(shape, key, ours):
        return
    assert with_expectation(ours, theirs), f"x[{key}] of {shape} {layout}\ntorch:  {theirs}\nndgrad: {ours}"


def places(shape, key):
    """The positions that the key names, or None if torch refuses it."""
    everything = torch.arange(int(np.prod(shape))).reshape(shape)
    named = outcome(lambda: eval(f"x[{key}]", {"x": everything, "np": np, "torch": torch}))
    return named if isinstance(named, torch.Tensor) else None


def refuses_a_position_that_nothing_is_read_from(shape, key, ours):
    """torch lets an index be out of range where another index makes the result empty; ndgrad looks at it all the same."""
    named = places(shape, key)
    return named is not None and not named.numel() and isinstance(ours, tuple) and "out of bounds" in ours[1]


def write(library, shape, layout, key, value, recorded):
    def action():
        leaf, make = tensor(library, shape, layout)
        space = {"np": np, "torch": library}
        exec(f"v = {value}", space)
        v = space["v"]
        if recorded:
            x = make()
            if isinstance(v, library.Tensor) and v.dtype == library.float64:
                v.requires_grad_()
        else:
            with library.no_grad():
                x = make().detach()
        before = x.detach().clone()
        space.update(x=x, v=v)
        try:
            exec(f"x[{key}] = v", space)
        except Exception:
            assert library is torch or (x.detach() == before).all(), "half written"  # torch writes what comes before a wrong index
            raise
        result = {"value": x.tolist(), "strides": x.stride()}
        if recorded:
            weights = library.from_numpy(np.asarray(np.random.default_rng(5).standard_normal(shape)))
            inputs = [leaf] + ([v] if isinstance(v, library.Tensor) and v.requires_grad else [])
            gradients = library.autograd.grad((x * x * weights).sum(), inputs, allow_unused=True)
            result["gradients"] = [None if g is None else np.round(g.numpy(), 10).tolist() for g in gradients]
            result["node"] = names(x)[:1]
        return result

    return outcome(action)


def repeats_a_place(shape, key):
    """Whether the key names a place twice: which value stays, and which gradients torch gives then, is nobody's promise."""
    named = places(shape, key)
    return named is not None and named.unique().numel() != named.numel()


@SETTINGS
@given(st.data())
def test_writing(data):
    shape = data.draw(shapes)
    layout, key = data.draw(layouts), data.draw(keys(shape))
    if repeats_a_place(shape, key):
        return
    if layout == "expanded" and ("[" in key or "True" in key or "False" in key):
        return  # torch warns that it will refuse index_put_ on expanded tensors; here it is refused already
    named = outcome(lambda: tuple(eval(f"x[{key}]", {"x": torch.zeros(shape), "np": np, "torch": torch}).shape))
    target = named if not (named and isinstance(named[0], str)) else (2,)
    choices = [
        "2.5",
        "3",
        "True",
        f"torch.from_numpy(np.asarray(np.arange(1.0, {int(np.prod(target)) + 1}).reshape({target})))",
        "torch.tensor(7.0).double()",
    ]
    choices += [f"torch.ones({target}).double()[None]", "torch.ones(5, 1).double()", "torch.tensor(4)", "1j", "None"]
    if target:
        choices.append(f"torch.ones({target[-1:]}).double()")
    value, recorded = data.draw(st.sampled_from(choices)), data.draw(st.booleans())
    theirs = write(torch, shape, layout, key, value, recorded)
    ours = write(ndgrad, shape, layout, key, value, recorded)
    if refuses_a_position_that_nothing_is_read_from(shape, key, ours):
        return
    assert with_expectation(ours, theirs), f"x[{key}] = {value} of {shape} {layout} {recorded}\ntorch:  {theirs}\nndgrad: {ours}"


# ---------------------------------------------------------------- one expression on both sides
def described(result, library):
    if isinstance(result, library.Tensor):
        values = result.detach().numpy() if library is ndgrad else result.detach().resolve_conj().numpy()
        return str(result.dtype), tuple(result.shape), result.stride(), result._base is not None, values.tolist()
    if isinstance(result, (tuple, list)):
        return [described(each, library) for each in result]
    return repr(result)


def evaluate(library, setup, code):
    space = {"torch": library, "np": np}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(setup, space)
        try:
            tree = ast.parse(code)
            last = tree.body.pop()
            exec(compile(tree, "<code>", "exec"), space)
            return described(eval(ast.unparse(last), space), library)
        except Exception as error:
            return type(error).__name__, str(error).split("\n")[0]


def agree(setup, code):
    theirs, ours = evaluate(torch, setup, code), evaluate(ndgrad, setup, code)
    if isinstance(theirs, tuple) and isinstance(theirs[1], str):
        same = ours[0] == theirs[0] and ours[1].startswith(theirs[1][:60])
    else:
        same = repr(ours) == repr(theirs)
    assert same, f"{code}\ntorch:  {theirs}\nndgrad: {ours}"


SPECIAL = "x = torch.arange(24.0).reshape(4, 6); i = torch.tensor([0, 2]); m = x > 5; n = x.clone()"


@pytest.mark.parametrize(
    "code",
    [
        "x[1.5]", "x[torch.tensor(1.5)]", "x['a']", "x[{}]", "x[np.bool_(True)]", "x[9]", "x[None, 9]", "x[0, 0, 0]", "x[i, i, i]",
        "x[::-1]", "x[::0]", "x[1:2.5]", "x[torch.tensor([9])]", "x[i, torch.tensor([0, 1, 2])]", "x[torch.zeros(3, dtype=torch.bool)]",
        "x[torch.tensor(1.0)[None]]", "x[:, torch.zeros(3, dtype=torch.bool)]", "x[torch.tensor([0, 1], dtype=torch.int16)]",
        "x[torch.tensor([0, 1], dtype=torch.int32)]", "x[torch.tensor([0, 1, 1, 0], dtype=torch.uint8)]", "x[range(2)]",
        "x[[slice(None), 0]]", "x[[[0, 1], [1, 0]]]", "x[([0, 1], [1, 0])]", "x[[True, False, True, False]]", "x[[]]", "x[np.int64(1)]",
        "x[np.array(1)]", "x[np.array(True)]", "x[torch.tensor(1):torch.tensor(3)]", "x[0, i]", "x[i, 0]", "x[i, :, None]",
        "x[i, None, i]", "x[None, i, None, i]", "x.t()[i]", "x.t()[:, i]", "x.t()[i, i]", "x[i[:, None].expand(2, 3).t()]",
        "x.view(2, 2, 6).permute(2, 0, 1)[:, i // 2]", "x.view(2, 2, 6).permute(2, 0, 1)[i, :, i // 2]", "x.t()[m.t()]",
        "x.t()[:, m[:, 0]]", "x[torch.tensor(2, dtype=torch.int8)]", "x[:, torch.tensor(2, dtype=torch.int16)]",
        "x[torch.tensor(1, dtype=torch.uint8)]", "x[[None]]", "x[:, [None]]", "x[:, [0, [1]]]", "x[:, [0, 2]]",
        "x[:, [torch.tensor(0), 2]]", "x[[torch.tensor([0]), torch.tensor([1])]]", "x[i[:, None], i]", "x[m, None]",
        "torch.tensor(1.0)[0]", "torch.tensor(1.0)[:]",
        "torch.tensor(1.0)[None]", "torch.tensor(1.0)[...]", "torch.tensor(1.0)[torch.tensor(True)]", "torch.tensor(1.0)[True, None]",
        "x[i] = x[:2].double(); x", "x[0] = x[:2]; x", "x[i] = x[0, :2]; x", "x[m] = x[0, :2]; x", "x[0] = 1j; x", "x[i] = 1j; x",
        "x[i] = [1, 2]; x", "x[0] = None; x", "x[0] = 'a'; x", "x[0] = np.ones(6); x", "x[1:] = x[:-1]; x", "x[1:] = n[:-1]; x",
        "x[0] = torch.tensor(3); x", "x.long()[0] = 1.7; x", "y = x.long(); y[0] = 2.7; y", "y = x.to(torch.uint8); y[0] = 300; y",
        "y = x.to(torch.uint8); y[0, 0] = -1; y", "x[m] = torch.tensor(2); x", "x[i] = torch.tensor(2.0); x",
        "x[i, i] = torch.tensor([5.0, 6.0]); x", "x[:, i] = x[:, :2] * 10; x", "x[...] = 3; x", "x[i[:0]] = 9; x", "x[None, 0] = 9; x",
        "x[True] = 9; x", "x[False] = 9; x", "x[torch.tensor(2)] = 9; x", "x[m & (x > 9)] = 0; x",
        "y = x.to(torch.complex64); y[0] = 2j; y", "y = x.to(torch.complex64); y[i] = x[i]; y", "y = x > 3; y[0] = 2; y",
        "y = x > 3; y[i] = True; y", "x.index_put((i, i), torch.tensor([1.0, 2.0]), accumulate=True)",
        "x.index_put((torch.tensor([0, 0]),), torch.ones(2, 6), accumulate=True)", "x.index_put_((m,), torch.tensor(1.0))",
        "torch.index_put_(x, (i,), torch.tensor(1.0))", "x.index_put((m,), torch.ones(3))", "x.index_put((i,), torch.ones(2, 6).double())",
        "3.0 in x", "99 in x", "'a' in x", "[r for r in x]", "list(torch.tensor(1.0))", "reversed(x)", "len(x)",
    ],
)  # fmt: skip
def test_special_keys_and_values(code):
    agree(SPECIAL, code)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "float32", "complex128"])
def test_dtypes_go_through(dtype):
    setup = f"x = (torch.arange(12) % 5).to(torch.{dtype}).reshape(3, 4); i = torch.tensor([2, 0]); g = torch.tensor([[0, 2, 1, 0]])"
    codes = [
        "x[i]",
        "x[:, i]",
        "x[i, i]",
        "x[x != 0]",
        "x.gather(0, g)",
        "x.scatter(0, g, x)",
        "x.index_select(1, i)",
        "x.index_copy(0, i, x[:2])",
    ]
    codes += [
        "x[i] = x[:2].clone(); x",
        "x.take(i)",
        "x.put(i, x[0, :2])",
        "x.masked_fill(x != 0, 1)",
        "x.index_fill(0, i, 1)",
        "x.nonzero()",
    ]
    codes += ["x.index_put((torch.tensor([0, 0]),), x[:2], accumulate=True)", "x.scatter_add(0, g, x)", "x.index_add(0, i, x[:2])"] * (
        dtype != "bool"
    )
    for code in codes:
        agree(setup, code)


def test_gradients_of_repeated_rows_add_up_in_every_kernel():
    rng = np.random.default_rng(0)
    for rows, width in ((5, 3), (700, 8), (5000, 1)):
        index = rng.integers(-40, 40, rows)
        for kind in (np.float32, np.float64, np.complex128):
            numbers, weights = rng.standard_normal((40, width)).astype(kind), rng.standard_normal((rows, width)).astype(kind)
            found = []
            for library in (torch, ndgrad):
                x = library.from_numpy(numbers).requires_grad_()
                x[library.from_numpy(index)].backward(library.from_numpy(weights))
                found.append(x.grad.numpy())
            np.testing.assert_allclose(
                found[1], found[0], rtol=2e-4 if kind == np.float32 else 1e-12, atol=1e-4 if kind == np.float32 else 1e-12
            )


def test_a_changed_index_is_noticed():
    for library in (torch, ndgrad):
        x = library.ones(3, requires_grad=True)
        index = library.tensor([0, 1])
        for make in (
            lambda x=x, index=index: x[index],
            lambda x=x, index=index: x.gather(0, index),
            lambda x=x, index=index: x.index_select(0, index),
        ):
            out = make()
            index[0] = 2
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                out.sum().backward()
