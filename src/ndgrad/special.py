"""PyTorch's `torch.special`, as far as it is here: functions that `torch` has under other names, or the same."""

from __future__ import annotations

from ndgrad.ops.declare import table as _table

digamma = psi = _table["digamma"].function
erf = _table["erf"].function
erfc = _table["erfc"].function
erfinv = _table["erfinv"].function
exp2 = _table["exp2"].function
expit = _table["sigmoid"].function
expm1 = _table["expm1"].function
gammaln = _table["lgamma"].function
log1p = _table["log1p"].function
log_softmax = _table["log_softmax"].function
logit = _table["logit"].function
logsumexp = _table["logsumexp"].function
polygamma = _table["polygamma"].function
round = _table["round"].function
sinc = _table["sinc"].function
softmax = _table["softmax"].function
xlogy = _table["xlogy"].function

__all__ = [
    "digamma", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln", "log1p", "log_softmax", "logit", "logsumexp",
    "polygamma", "psi", "round", "sinc", "softmax", "xlogy",
]
