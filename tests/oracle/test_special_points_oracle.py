"""The table of special points, run by torch: its numbers are torch's."""

import numpy as np
import pytest
import torch

import ndgrad
from tests.special_points import ROWS, gradients


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_special_point(row):
    theirs, ours = gradients(torch, row), gradients(ndgrad, row)
    for value, expected, found in zip(theirs, row.expected, ours, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)
