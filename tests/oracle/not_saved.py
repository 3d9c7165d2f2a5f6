"""Which of torch's `_saved_*` attributes nodes of ndgrad do not have, and why. Entries that no longer apply make a test fail."""

from __future__ import annotations

_SIZES = "sizes and strides of an operand that is saved as well, or whose gradient needs no sizes here"
_SHAPE = "the rule needs the operand's shape alone, so the operand itself is not kept alive"
_ZERO = "the derivative is zero or one whatever the operands are, so none is kept"
_OTHER_RULE = "the rule computes from other saved values"


def _factors(*names: str) -> dict[str, str]:
    return {f"{name}_sym_{what}": _SIZES for name in names for what in ("sizes", "strides")}


#: torch's node -> {torch's name: reason}.
NOT_SAVED: dict[str, dict[str, str]] = {
    "AddbmmBackward0": dict.fromkeys(("batch1_sym_argsize_0", "batch1_sym_argsize_1", "batch2_sym_argsize_2"), _SIZES),
    "AddmmBackward0": _factors("mat1", "mat2"),
    "MmBackward0": _factors("self", "mat2"),
    "AsStridedBackward0": {"storage_offset": "views count their offset from the first element of their base, and torch from the memory's"},
    "ComplexBackward0": dict.fromkeys(("real", "imag"), _ZERO),
    "ConstantPadNdBackward0": {"pad": "kept per dim, without how many dims were given"},
    "CummaxBackward0": {"self": _SHAPE},
    "CumminBackward0": {"self": _SHAPE},
    "DivBackward2": dict.fromkeys(("self", "other"), _ZERO),
    "ErfinvBackward0": {"self": "the rule takes the result, which is no more memory and spares an inverse"},
    "GatherBackward0": {"self": _SHAPE},
    "IndexAddBackward0": {"source": _SHAPE, "source_dim": _SHAPE},
    "IndexCopyBackward0": {"source": _SHAPE, "source_dim": _SHAPE},
    "IndexReduceBackward0": {"index": "kept stretched to the shape of the source"},
    "LinalgSvdBackward0": dict.fromkeys(("S", "U", "Vh", "S_sym_argsize_minus_1", "full_matrices"), "factored anew in the backward"),
    "LogSigmoidBackward0": {"buffer": _OTHER_RULE},
    "MaskedSelectBackward0": {"self": _SHAPE, "mask": "kept broadcast to the shape of the operand"},
    "NativeLayerNormBackward0": {**dict.fromkeys(("result1", "result2"), "computed anew, as the input is there"), "bias": _ZERO},
    "NllLossBackward0": {"self": _SHAPE, "total_weight": "summed anew in the backward, where there are weights"},
    "NllLoss2DBackward0": {"self": _SHAPE, "total_weight": "summed anew in the backward, where there are weights"},
    "NormalBackward1": {"mean_sym_sizes": _ZERO},
    "NormalBackward3": dict.fromkeys(("mean_sym_sizes", "std_sym_sizes"), _ZERO),
    "PutBackward0": {"source": _SHAPE},
    "RreluWithNoiseBackward0": {
        **dict.fromkeys(("lower", "upper"), _OTHER_RULE),
        "noise": "kept only where it was drawn, in training",
    },
    "TakeBackward0": {"self": _SHAPE},
}

#: The same for attributes that are there with another value.
OTHER_VALUE: dict[str, dict[str, str]] = {
    "CdistBackward0": dict.fromkeys(("x1", "x2"), "kept as the rule wants them, broadcast to the same batch"),
    "IndexPutBackward0": {"indices": "a mask is turned into positions where it does not stand alone"},
    "RsubBackward0": {"alpha": "the subtrahend is multiplied by it in an operation of its own"},
}
