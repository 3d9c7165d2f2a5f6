"""Automatic differentiation step by step: what PyTorch's autograd tutorial does, told in our own words.

The same file runs under PyTorch and under ndgrad, and prints the same digits:

    python examples/autograd_tutorial.py
    ndgrad run examples/autograd_tutorial.py
"""

import warnings

import torch


def section(title):
    print(f"\n{title}\n{'-' * len(title)}")


def first_sentence(message):
    """Errors and warnings say more after their first sentence; that part may differ from engine to engine."""
    return str(message).split(". ")[0].split("\n")[0].rstrip(".")


torch.manual_seed(0)

# One layer of a network: five inputs, three outputs, and the parameters w and b that training would adjust.
# `requires_grad` asks for a record of what is done with them.
section("A graph is recorded while the program runs")
x = torch.ones(5)
y = torch.zeros(3)
w = torch.randn(5, 3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
z = torch.matmul(x, w) + b
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
print("x =", x)
print("w =", w)
print("b =", b)
print("z =", z)
print("loss =", loss)

# Every result knows the operation that made it, and that one the operations before it; a leaf ends in AccumulateGrad.
print("the operation behind z:   ", z.grad_fn)
print("the operation behind loss:", loss.grad_fn)
before = loss.grad_fn.next_functions[0][0]
print("from the loss back to b:", loss.grad_fn.name(), "<-", before.name(), "<-", before.next_functions[1][0].name())

# Walking that graph backward leaves d loss / d parameter in each parameter's .grad.
section("backward() fills .grad of the leaves")
loss.backward()
print("w.grad =", w.grad)
print("b.grad =", b.grad)

# z lies between the leaves and the loss: its gradient passed through and was not kept.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print("z.grad =", z.grad)
for warning in caught:
    print(f"{warning.category.__name__}: {first_sentence(warning.message)}")
print("leaves:", w.is_leaf, b.is_leaf, "  in between:", z.is_leaf)

# What the forward pass saved is given up by the first backward, so a second one has nothing to work with...
section("A graph is used once, unless it is retained")
try:
    loss.backward()
except RuntimeError as error:
    print(f"RuntimeError: {first_sentence(error)}")

# ...unless the first was asked to keep it. Gradients add up until somebody clears them.
w.grad = None
b.grad = None
loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.matmul(x, w) + b, y)
loss.backward(retain_graph=True)
print("once:  b.grad =", b.grad)
loss.backward()
print("twice: b.grad =", b.grad)

# Three ways to say that no record is wanted: for a block, for one tensor, for a parameter that is not to change.
section("Doing without the graph")
z = torch.matmul(x, w) + b
print("recorded:       ", z.requires_grad)
with torch.no_grad():
    z = torch.matmul(x, w) + b
print("under no_grad():", z.requires_grad)
z = torch.matmul(x, w) + b
z_detached = z.detach()
print("detached:       ", z_detached.requires_grad, " on the same memory:", z_detached.data_ptr() == z.data_ptr())

w.requires_grad_(False)
b.grad = None
loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.matmul(x, w) + b, y)
w_before = w.grad.clone()
loss.backward()
print("w is frozen: its gradient stays as it was,", torch.equal(w.grad, w_before), "- and b.grad =", b.grad)
w.requires_grad_(True)

# The graph is whatever the program did this time: the branch taken, the number of turns, the shapes met on the way.
section("A different graph at every iteration")
scale = torch.tensor(0.5, requires_grad=True)
for iteration in range(4):
    h = torch.linspace(-1.0, 2.0, 2 + iteration) * scale
    operations = []
    for turn in range(iteration + 1):
        if h.sum() > 4.0:
            h = torch.sin(h)
        elif turn % 2 == 0:
            h = torch.cat([h, h.flip(0)])
        else:
            h = torch.exp(h)
        operations.append(h.grad_fn.name())
    scale.grad = None
    h.mean().backward()
    print(f"{iteration}: {', '.join(operations)}, {len(h)} numbers; d mean / d scale =", scale.grad)

# An output of many numbers has a Jacobian. backward(v) computes its product with v, of the shape of the output.
section("Jacobian products")
inp = torch.eye(4, 5, requires_grad=True)
out = (inp + 1).pow(2).t()
out.backward(torch.ones_like(out), retain_graph=True)
print("first call\n", inp.grad, sep="")
out.backward(torch.ones_like(out), retain_graph=True)
print("second call, added to the first\n", inp.grad, sep="")
inp.grad.zero_()
out.backward(torch.ones_like(out), retain_graph=True)
print("after zeroing the gradient\n", inp.grad, sep="")

# For a single number the vector is 1, and need not be given. For more there is no natural choice.
section("When the vector can be left out")
v = torch.randn(3, requires_grad=True)
(v**2).sum().backward()
implicit = v.grad
v.grad = None
(v**2).sum().backward(torch.tensor(1.0))
print("v.grad =", implicit)
print("backward() equals backward(torch.tensor(1.0)):", torch.equal(implicit, v.grad))
try:
    (v**2).backward()
except RuntimeError as error:
    print(f"RuntimeError: {first_sentence(error)}")
