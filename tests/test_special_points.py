"""Gradients where a derivative does not exist or is infinite: each at the value that torch 2.13.0 gives; docs/CONVENTIONS.md lists them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ndgrad
from tests.special_points import ROWS, Row, document, gradients

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "CONVENTIONS.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_special_point(row: Row) -> None:
    found = gradients(ndgrad, row)
    assert len(found) == len(row.expected)
    for value, expected in zip(found, row.expected, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-12)


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == document(), "write it anew: python -m tests.special_points"
