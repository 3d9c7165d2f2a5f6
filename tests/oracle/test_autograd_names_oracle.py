"""Every name of `torch.autograd` and its submodules that is no operation, used by the same programs in both libraries."""

import importlib
import pickle
import threading
import warnings
from collections import OrderedDict

import pytest
import torch as theirs

import ndgrad as ours
from tests.oracle.both import PROGRAMS, check, program


def submodule(torch, name):
    return importlib.import_module(f"{torch.__name__}.{name}")


@program
def old_functions(torch, show, attempt):
    functions = importlib.import_module(f"{torch.__name__}.autograd._functions")
    x = torch.arange(6.0).reshape(2, 3).t().requires_grad_()
    y = functions.Resize.apply(x, (2, 3))
    (y * torch.arange(6.0).reshape(2, 3)).sum().backward()
    show(y, x.grad)
    attempt(lambda: functions.Resize.apply(x, (2, 2)))
    z = functions.Type.apply(x, torch.float64)
    show(z, torch.autograd.grad(z.sum(), x))


@program
def variable(torch, show, attempt):
    autograd = torch.autograd
    x = torch.ones(2)
    w = torch.ones(2, requires_grad=True)
    show(isinstance(x, autograd.Variable), isinstance(w * 2, autograd.Variable), isinstance(1, autograd.Variable))
    show(type(autograd.Variable).__name__, issubclass(torch.Tensor, autograd.Variable))
    show(submodule(torch, "autograd.variable").Variable is autograd.Variable)
    made = autograd.Variable(x, requires_grad=True)
    show(made, made is x, made.is_leaf, made.data_ptr() == x.data_ptr())
    x.add_(1)
    show(made, made._version, x._version)
    attempt(lambda: autograd.Variable(x, True))
    attempt(lambda: autograd.Variable(w * 2))
    attempt(lambda: autograd.Variable(w * 2, requires_grad=True))
    attempt(lambda: autograd.Variable())
    attempt(lambda: autograd.Variable([1, 2]))
    attempt(lambda: autograd.Variable(torch.ones(2, dtype=torch.int64), requires_grad=True))
    attempt(lambda: autograd.Variable(torch.ones(2, dtype=torch.int64)))
    attempt(lambda: autograd.Variable(x, volatile=True))
    attempt(lambda: autograd.Variable(x, requires_grad=True, volatile=True))
    attempt(lambda: autograd.Variable(data=x, requires_grad=True))
    attempt(lambda: autograd.variable(1))
    (made * 3).sum().backward()
    show(made.grad, x.requires_grad)


@program
def callbacks_at_the_end_of_a_backward(torch, show, attempt):
    engine = torch.autograd.Variable._execution_engine
    attempt(lambda: engine.queue_callback(lambda: None))
    log = []
    x = torch.ones(2, requires_grad=True)
    y = torch.ones(2, requires_grad=True)

    def hook(g):
        log.append(("hook", x.grad))
        engine.queue_callback(lambda: log.append(("first", x.grad.tolist(), torch.is_grad_enabled())))
        engine.queue_callback(lambda: engine.queue_callback(lambda: log.append(("queued by a callback",))))

    handle = x.register_hook(hook)
    (x * 2).sum().backward()
    show(log)
    handle.remove()
    attempt(lambda: engine.queue_callback(lambda: None))

    def nested(g):
        engine.queue_callback(lambda: log.append("outer"))
        with torch.enable_grad():
            z = y * 2
            z.register_hook(lambda g: engine.queue_callback(lambda: log.append("inner")))
            z.sum().backward()
        log.append("end of hook")

    log.clear()
    handle = x.register_hook(nested)
    (x * 2).sum().backward()
    show(log)
    handle.remove()

    def failing(g):
        engine.queue_callback(lambda: {}["missing"])
        engine.queue_callback(lambda: log.append("never"))

    log.clear()
    handle = x.register_hook(failing)
    attempt(lambda: (x * 2).sum().backward())
    handle.remove()

    def fails(g):
        raise ValueError("in a hook")

    w = x * 1
    w.register_hook(lambda g: engine.queue_callback(lambda: log.append("not after an error")))
    x.register_hook(fails)
    attempt(lambda: w.sum().backward())
    show(log)
    show(engine.is_checkpoint_valid())


@program
def callbacks_have_the_mode_of_the_backward(torch, show, attempt):
    engine = torch.autograd.Variable._execution_engine
    x = torch.ones(2, requires_grad=True)
    log = []
    x.register_hook(lambda g: engine.queue_callback(lambda: log.append(torch.is_grad_enabled())))
    (x * x).sum().backward()
    (x * x).sum().backward(create_graph=True)
    torch.autograd.grad((x * x).sum(), x)
    show(log)


@program
def switches_of_the_engine(torch, show, attempt):
    autograd = torch.autograd
    enabled = autograd.is_multithreading_enabled
    show(enabled())
    with autograd.set_multithreading_enabled(False):
        show(enabled())
        seen = []
        thread = threading.Thread(target=lambda: seen.append(enabled()))
        thread.start()
        thread.join()
        show(seen)
    show(enabled())

    @autograd.set_multithreading_enabled(False)
    def decorated():
        return enabled()

    show(enabled(), decorated(), enabled())
    autograd.set_multithreading_enabled(True)
    show(enabled())
    attempt(lambda: autograd.set_multithreading_enabled(1))
    replayed = autograd.is_view_replay_enabled
    with autograd._force_original_view_tracking(True):
        show(replayed())
        with autograd._force_original_view_tracking(False):
            show(replayed())
        show(replayed())

    @autograd._force_original_view_tracking(True)
    def replaying():
        return replayed()

    show(replayed(), replaying(), replayed())
    grad_mode = submodule(torch, "autograd.grad_mode")
    show(autograd.grad_mode is grad_mode, grad_mode.no_grad is torch.no_grad, sorted(grad_mode.__all__))
    show(grad_mode.set_multithreading_enabled is autograd.set_multithreading_enabled)


@program
def layouts_of_new_gradients(torch, show, attempt):
    class Transposed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return torch.ones(3, 2).t()

    for mode in (True, False):
        with torch.autograd.enforce_grad_layout_policy(mode):
            p = torch.ones(2, 3, requires_grad=True)
            Transposed.apply(p).sum().backward()
            show(p.grad.stride())
            p = torch.ones(2, 3, requires_grad=True)
            (p * 2).sum().backward()
            show(p.grad.stride())
    p = torch.ones(2, 3, requires_grad=True)
    Transposed.apply(p).sum().backward()
    show(p.grad.stride())

    @torch.autograd.enforce_grad_layout_policy(False)
    def loosely(p):
        Transposed.apply(p).sum().backward()
        return p.grad.stride()

    show(loosely(torch.ones(2, 3, requires_grad=True)))
    p = torch.ones(2, 3, requires_grad=True)
    Transposed.apply(p).sum().backward()
    show(p.grad.stride())


@program
def views_that_are_replayed(torch, show, attempt):
    for mode in (True, False):
        with torch.autograd._force_original_view_tracking(mode):
            base = torch.arange(6.0, requires_grad=True) * 1
            view = base[1:5].view(2, 2)
        base.mul_(2)
        show(view.grad_fn.name(), view, [node.name() for node, _ in view.grad_fn.next_functions])
        show(torch.autograd.grad((view * view).sum(), base, retain_graph=True))


@program
def version_counters_that_are_preserved(torch, show, attempt):
    preserve = torch.autograd._unsafe_preserve_version_counter
    x, y = torch.ones(3), torch.ones(2)
    x.add_(1)
    with preserve((x, y)):
        x.add_(1)
        y.add_(1)
        show(x._version, y._version)
    show(x._version, y._version, x)
    with preserve(x):
        x.add_(1)
    show(x._version)
    attempt(lambda: preserve([x]))
    with torch.inference_mode():
        z = torch.ones(1)
    attempt(lambda: preserve(z))
    w = torch.ones(3, requires_grad=True)
    kept = w * 1
    out = (kept * kept).sum()
    with preserve(kept):
        kept.detach().mul_(5)
    attempt(lambda: out.backward())
    show(w.grad)


@program
def hooks_of_a_tensor_as_a_dict(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    show(x._backward_hooks)
    handle = x.register_hook(lambda g: None)
    show(type(x._backward_hooks).__name__, list(x._backward_hooks) == [handle.id])
    handle.remove()
    show(len(x._backward_hooks))
    y = x * 2
    y.register_hook(lambda g: g * 10)
    show(len(y._backward_hooks))
    y.add_(1)
    show(y._backward_hooks)
    y.sum().backward()
    show(x.grad)
    x._backward_hooks = None
    show(x._backward_hooks)
    x._backward_hooks = OrderedDict({7: lambda g: g * 3})
    x.grad = None
    (x * 2).sum().backward()
    show(x.grad)


@program
def handles(torch, show, attempt):
    RemovableHandle = submodule(torch, "utils.hooks").RemovableHandle
    hooks, first, second = OrderedDict(), OrderedDict(), OrderedDict()
    handle = RemovableHandle(hooks, extra_dict=[first, second])
    other = RemovableHandle(hooks, extra_dict=first)
    for each in (hooks, first, second):
        each[handle.id] = each[other.id] = "a hook"
    show(other.id - handle.id, RemovableHandle.next_id - other.id, handle.hooks_dict_ref() is hooks, len(handle.extra_dict_ref))
    handle.remove()
    handle.remove()
    show(len(hooks), len(first), len(second))
    with other as entered:
        show(entered is other)
    show(len(hooks), len(first), len(second))
    del hooks
    show(handle.hooks_dict_ref())
    handle.remove()
    attempt(lambda: RemovableHandle({}))
    x = torch.ones(1, requires_grad=True)
    of_tensor = x.register_hook(print)
    show(isinstance(of_tensor, RemovableHandle), of_tensor.extra_dict_ref, of_tensor.hooks_dict_ref() is x._backward_hooks)
    back = pickle.loads(pickle.dumps(of_tensor))
    back.remove()
    show(back.id == of_tensor.id, back.hooks_dict_ref(), len(x._backward_hooks), RemovableHandle.next_id > back.id)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        submodule(torch, "utils.hooks").warn_if_has_hooks(x)
        show([(each.category.__name__, str(each.message)) for each in caught])
    of_tensor.remove()
    x.register_hook(submodule(torch, "utils.hooks").unserializable_hook(lambda g: None))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        submodule(torch, "utils.hooks").warn_if_has_hooks(x)
        submodule(torch, "utils.hooks").warn_if_has_hooks(torch.ones(1))
        show(len(caught))


@program
def nodes_and_their_attributes(torch, show, attempt):
    Node = torch.autograd.graph.Node
    x = torch.ones(2, requires_grad=True)
    node = (x * 2).grad_fn
    leaf = node.next_functions[0][0]

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    custom = Doubled.apply(x).grad_fn
    for each in (node, leaf, custom):
        show(isinstance(each, Node), issubclass(type(each), Node), each.requires_grad)
        show([(list(meta.shape), str(meta.dtype), str(meta.device), meta.is_nested_tensor) for meta in each._input_metadata])
    several = torch.ones(4, 3, requires_grad=True).unbind()[0].grad_fn
    show([(list(meta.shape), str(meta.dtype)) for meta in several._input_metadata])
    show(leaf.variable is x, leaf._sequence_nr(), (x * 2).grad_fn._sequence_nr() < (x * 2).grad_fn._sequence_nr())
    show(isinstance(x, Node), issubclass(int, Node))

    class Mine(Node):
        def name(self):
            return "mine"

    show(isinstance(node, Mine), issubclass(Mine, Node))
    attempt(lambda: type(Node()).__name__)

    class Foreign:
        pass

    show(Node.register(Foreign) is Foreign, isinstance(Foreign(), Node))
    attempt(lambda: node._register_hook_dict(OrderedDict()))
    y = x * 2
    y.register_hook(lambda g: g * 10)
    z = x * 3
    z.grad_fn._register_hook_dict(y)
    z.sum().backward()
    show(x.grad)


@program
def streams_and_regions(torch, show, attempt):
    graph = torch.autograd.graph
    for function in (graph.set_warn_on_accumulate_grad_stream_mismatch, graph.set_override_stale_capture_stream):
        for value in (True, False, None, 1):
            attempt(lambda function=function, value=value: function(value))
    graph.set_override_stale_capture_stream(False)
    for budget in (0.5, 0, 2.0, -1, True, "a"):
        attempt(lambda budget=budget: graph.region_activation_memory_budget(budget))


@program
def hooks_of_several_tensors(torch, show, attempt):
    register = torch.autograd.graph.register_multi_grad_hook
    a, b = torch.ones(1, requires_grad=True), torch.full((1,), 2.0, requires_grad=True)
    c, d = a * b, a + b
    log = []
    handle = register((a, b, c, d), lambda grads: log.append([None if g is None else g.tolist() for g in grads]))
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    (c * d).sum().backward(retain_graph=True)
    show(log)
    handle.remove()
    handle.remove()
    c.sum().backward(retain_graph=True)
    show(len(log), isinstance(handle, submodule(torch, "utils.hooks").RemovableHandle))
    log.clear()
    with register([c, d], lambda grads: log.append([type(grads).__name__, torch.is_grad_enabled(), [g.requires_grad for g in grads]])):
        (c * d).sum().backward(retain_graph=True)
        (c * d).sum().backward(create_graph=True)
        torch.autograd.grad((c * d).sum(), [a, c], retain_graph=True)
    show(log)
    log.clear()
    with register([a, torch.ones(1), c], lambda g: log.append(g.tolist()), mode="any"):
        c.sum().backward(retain_graph=True)
        c.sum().backward(retain_graph=True)
        d.sum().backward(retain_graph=True)
    show(log)
    attempt(lambda: register((a,), print, mode="some"))
    attempt(lambda: register((a, torch.ones(1)), print))
    attempt(lambda: register((), print).remove())

    def fails(grads):
        raise ValueError("in a hook")

    register((a, b), fails)
    attempt(lambda: (a * b).sum().backward())
    attempt(lambda: (a * b).sum().backward())


@program
def nodes_that_nothing_came_back_to(torch, show, attempt):
    class Nothing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return None

    a = torch.ones(2, requires_grad=True)
    b = a * 2
    c = b * 3
    d = Nothing.apply(c)
    log = []
    for name, tensor in (("a", a), ("b", b), ("c", c), ("d", d)):
        show(tensor.register_hook(lambda g, name=name: log.append((name, g))) is None)
    show(b.grad_fn.register_hook(lambda ins, outs: log.append(("b's node", ins, outs))) is None)
    show(b.grad_fn.register_prehook(lambda outs: log.append(("before b's node", outs))) is None)
    show(a.register_post_accumulate_grad_hook(lambda p: log.append(("added", p.grad))) is None)
    torch.autograd.graph.register_multi_grad_hook((a, b), lambda grads: log.append(("both", tuple(grads))))
    b.retain_grad()
    d.sum().backward(retain_graph=True)
    show(log, a.grad, b.grad)
    log.clear()
    (d.sum() + (a * 2).sum()).backward()
    show(log, a.grad)


@program
def deprecated_jacobians(torch, show, attempt):
    module = submodule(torch, "autograd.gradcheck")
    show(module is torch.autograd.gradcheck, callable(torch.autograd.gradcheck), issubclass(module.GradcheckError, RuntimeError))
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    k = torch.tensor([3.0], dtype=torch.float64)
    z = torch.tensor([1 + 2j], requires_grad=True)

    def rounded(jacobians):
        return [[[round(value, 6) for value in row] for row in jacobian.tolist()] for jacobian in jacobians]

    numerical, analytical = module.get_numerical_jacobian, module.get_analytical_jacobian
    attempt(lambda: rounded(numerical(lambda a: a[0] * a[1], (x, k))))
    attempt(lambda: rounded(numerical(lambda a: a[0] * a[1], [x, y], eps=1e-6)))
    attempt(lambda: rounded(numerical(lambda a: a[0] * y, (x, k), target=(y,))))
    attempt(lambda: rounded(numerical(lambda a: (a[0] * a[1], a[0]), (x, y))))
    attempt(lambda: numerical(lambda a: a[0], (x,), grad_out=2.0))
    attempt(lambda: numerical(lambda a: a[0] * a[0], (z,)))
    attempt(lambda: rounded(analytical((x, y), x * y)[0]))
    attempt(lambda: analytical((x, y), x * y)[1:])
    attempt(lambda: rounded(analytical((x, y), x * 2)[0]))
    attempt(lambda: analytical((x,), x * 2, grad_out=2.0))
    attempt(lambda: analytical((z,), z * 2))
    attempt(lambda: rounded(module.get_numerical_jacobian_wrt_specific_input(lambda a, b: a * b, 1, (x, y), (x * y,), 1e-6)))
    attempt(lambda: module.get_numerical_jacobian_wrt_specific_input(lambda a, b: a * b, 1, (x, k), (x * k,), 1e-6))
    for call in (lambda: numerical(lambda a: a[0], (x,)), lambda: analytical((x,), x * 2)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        show([(each.category.__name__, str(each.message)) for each in caught])


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)


def test_the_public_names_are_those_of_torch():
    for name in ("autograd", "autograd.graph", "autograd.grad_mode", "autograd.function"):
        expected, found = submodule(theirs, name), submodule(ours, name)
        for each in set(expected.__all__) & set(vars(found)):
            assert each in found.__all__, f"{name}.{each} is there, but not in __all__"
    assert set(ours.autograd.__all__) == set(theirs.autograd.__all__)
    for each in ours.autograd.__all__:
        assert hasattr(ours.autograd, each)


def test_the_function_hides_the_module_of_its_name():
    for name in ("gradcheck", "variable"):
        submodule(ours, f"autograd.{name}")
        assert type(getattr(ours.autograd, name)) is type(getattr(theirs.autograd, name))
