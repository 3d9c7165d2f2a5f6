"""`device`: where a tensor lives. Here that is always the CPU, and asking for anything else says so."""

from __future__ import annotations

from typing import Any

#: The types of device that PyTorch knows, in the order in which it lists them.
KNOWN = (
    *("cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy", "vulkan", "mps"),
    *("meta", "hpu", "mtia", "privateuseone"),
)


class device:
    """A device, such as `device("cpu")`; `type` and `index` as in PyTorch.

    Raises
    ------
    RuntimeError
        If the string names no device type that PyTorch knows.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, spec: Any = "cpu", index: int | None = None) -> None:
        if isinstance(spec, device):
            self.type, self.index = spec.type, spec.index
            return
        if isinstance(spec, int):
            raise RuntimeError(f"Cannot access accelerator device when none is available: device({spec}) was asked for; write 'cpu'.")
        if not isinstance(spec, str):
            raise TypeError(f"device(): argument 'type' must be str, not {spec.__class__.__name__}")
        kind, colon, number = spec.partition(":")
        if kind not in KNOWN or (colon and not number.isdigit()):
            raise RuntimeError(
                f"Expected one of {', '.join(KNOWN)} device type at start of device string: {kind}"
                if kind not in KNOWN
                else f"Invalid device string: '{spec}'"
            )
        if colon and index is not None:
            raise RuntimeError(f"'type' must not include an index because index was passed explicitly: {spec}")
        self.type, self.index = kind, int(number) if colon else index

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)


CPU = device("cpu")


def check_device(spec: Any) -> None:
    """Accept None, "cpu" and "cpu:0"; refuse every other device by name."""
    if spec is None or spec is CPU:
        return
    found = device(spec)
    if found.type != "cpu":
        refused = AssertionError if found.type == "cuda" else RuntimeError  # PyTorch's own type for the one that everybody asks for
        hint = ". A module for functional_call need not be there: its own weights are not looked at" if found.type == "meta" else ""
        raise refused(
            f"Torch not compiled with {found.type.upper()} enabled: device '{found}' was asked for, but ndgrad computes on the CPU alone; "
            f"write device='cpu' or leave the argument out{hint}"
        )
    if found.index not in (None, 0):
        raise RuntimeError(f"CPU device index must be -1 or zero, got {found.index}")


class layout:
    """How a tensor is laid out in memory: `strided` is the only layout there is here."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


strided = layout("strided")


class memory_format:
    """The order of a tensor's dimensions in memory."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
