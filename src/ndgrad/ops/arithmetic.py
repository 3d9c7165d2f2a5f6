"""Elementwise arithmetic of two operands."""

from __future__ import annotations

import numpy as np

from ndgrad.ops.declare import FLOAT, elementwise

add_tensors = elementwise(
    np.add, name="add_tensors", node_name="AddBackward0", public=False, partials=[lambda xp, g: g, lambda xp, g: g], doc="x + y."
)
mul = elementwise(
    np.multiply, name="mul", aliases=("multiply",), partials=[lambda xp, g, y: g * y, lambda xp, g, x: g * x], doc="x * y, elementwise."
)
div_true = elementwise(
    np.true_divide,
    name="div_true",
    node_name="DivBackward0",
    public=False,
    policy=FLOAT,
    partials=[lambda xp, g, y: g / y, lambda xp, g, x, y: -g * (x / y / y)],
    doc="x / y, elementwise.",
)
