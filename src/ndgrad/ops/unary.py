"""Elementwise operations of one operand."""

from __future__ import annotations

import numpy as np

from ndgrad.ops.declare import FLOAT, elementwise, general

neg = elementwise(np.negative, name="neg", partials=[lambda xp, g: -g], aliases=("negative",), doc="The negative of every element.")
exp = elementwise(np.exp, policy=FLOAT, partials=[lambda xp, g, out: g * out], domain=(-2, 2), doc="e to the power of every element.")
sin = elementwise(np.sin, policy=FLOAT, partials=[lambda xp, g, x: g * xp.cos(x)], doc="Sine of every element, in radians.")
cos = elementwise(np.cos, policy=FLOAT, partials=[lambda xp, g, x: -(g * xp.sin(x))], doc="Cosine of every element, in radians.")
