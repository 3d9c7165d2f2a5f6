"""What the comparison with torch's `op_db` leaves out, and why. Entries that no longer apply make a test fail."""

from __future__ import annotations

#: Operations of our table that neither op_db nor test_without_samples_oracle compares: name -> reason, or where they are tested.
NOT_COMPARED: dict[str, str] = {}

_TIES = "which of several equal elements comes first is left open; ours is always the first one"

#: op_db's name -> {pattern of the difference: reason}. The pattern is looked for in the sample and what differs.
DIFFERENT: dict[str, dict[str, str]] = {
    **{
        name: {"inplace version": f"torch's codegen has no derivative for {name}_ on its own result; ours has"}
        for name in ("acosh", "asinh", "atanh")
    },
    "logcumsumexp": {
        r"\(float32.*gradient 0: value": "torch's float32 gradient is off in the third digit; ours agrees with its float64 one"
    },
    "gather": {r"uint8\[2, 0\].*requires_grad": "an empty result, its index of other dims than the input: there is no gradient to carry"},
    "nn.functional.hardsigmoid": {"gradient 0: value at .* ours -?0.": "torch multiplies by a float32 1/6 whatever the dtype"},
    "nn.functional.layer_norm": {r"\(float32.*gradient [01]: value": "the exact gradient is 0, and the two round differently around it"},
    **{name: {r"\[1\] value at": _TIES} for name in ("kthvalue", "topk", "mode", "sort", "msort", "median", "nanmedian")},
    "round.decimals_0": {"round_vml_cpu": "torch takes round(integers) but not round(integers, decimals=0)"},
    "argsort": {r"\(bool": _TIES},
}

_NARROWER = "torch wants out= in exactly the dtype of the result; ours converts, as torch's other functions do"
_OVERLAP = "torch refuses an out= that overlaps an operand; ours computes first and writes then, so the result is right"
#: The same for refusals.
ERRORS_DIFFERENT: dict[str, dict[str, str]] = {
    "complex": {"Expected object of scalar type": _NARROWER},
    "narrow_copy": {"Expected dim <|exceeds dimension size": "torch checks its arguments by assertions; ours says what narrow does"},
    "aminmax": {"Expected out tensor to have dtype": _NARROWER},
    **{name: {"Expected the dtype for input and out to match": _NARROWER} for name in ("amax", "amin")},
    "multinomial": {"expects Long tensor out": _NARROWER},
    "index_select": {"more than one element of the written-to tensor": "our out= is given fresh memory where its shape does not fit"},
    "cat": {"Trying to resize storage that is not resizable": "our out= may be resized even if its memory came from NumPy"},
    **{
        name: {"some elements of the input tensor and the written-to tensor": _OVERLAP, "Expected out tensor to have dtype": _NARROWER}
        for name in ("masked_select", "gather", "take", "kthvalue")
    },
}
