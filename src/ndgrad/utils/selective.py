"""Selective checkpointing: a policy says of which operations the results are kept, so that they need not be computed again."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from ndgrad.core.observers import Observer, forget, observe, unobserved
from ndgrad.core.packing import without_history
from ndgrad.core.tensor import Tensor, modified_by
from ndgrad.ops.aten import Overload, Packet, operator
from ndgrad.ops.declare import table


class CheckpointPolicy(enum.Enum):
    """What becomes of an operation's result: kept, or computed again. MUST and PREFER are the same here.

    There is no other memory to offload to, and as in PyTorch without a compiler, the policies that ask for it compute again.
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


SAVING = (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)


class SelectiveCheckpointContext:
    """What a policy is told beside the operation and its arguments.

    Attributes
    ----------
    is_recompute : False, always: policies are asked in the forward pass alone.
    op_output : what the operation gave, without its history.
    """

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute = is_recompute
        self.op_output = op_output


#: Operations that no policy is asked about; they are always run.
SAC_IGNORED_OPS: set[Overload] = {Overload(name) for name in ("detach", "alias")}

#: In place of a kept result: it is to be computed again; it has been used.
RECOMPUTE: Any = object()
CONSUMED: Any = object()
Storage = dict[tuple[Overload, int], Any]

MISMATCH = (
    "This can happen if the operations in the checkpointed region are nondeterministic or depend on global state that changed between "
    "forward and backward."
)


class Kept:
    """The payload of one result, and the version that its memory had."""

    __slots__ = ("cell", "payload", "version")

    def __init__(self, tensor: Tensor) -> None:
        self.payload, self.cell = tensor._a, tensor._cell()
        self.version = self.cell[0]

    def get(self, op: Overload, allow_mutation: bool) -> Any:
        """The payload, if it is as it was."""
        if self.cell[0] != self.version and not allow_mutation:
            changed = modified_by(self.cell)
            raise RuntimeError(
                "Tensor cached during selective activation checkpoint has been mutated: the result of "
                f"{op}, of shape {list(self.payload.shape)}" + (f", was last changed by {changed}" if changed else "") + ". Change a "
                "clone(), let the policy recompute this operation, or pass allow_cache_entry_mutation=True."
            )
        return self.payload


class Counting(Observer):
    """Numbers the runs of each operation while it is entered; entering it again begins anew."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.counts: dict[Overload, int] = {}

    def __enter__(self) -> Counting:
        self.counts.clear()
        observe(self)
        return self

    def __exit__(self, *details: object) -> None:
        forget(self)

    def next_key(self, op: Overload) -> tuple[Overload, int]:
        """The operation and its number."""
        count = self.counts.get(op, 0)
        self.counts[op] = count + 1
        return op, count


class Keeping(Counting):
    """In the forward pass: asks the policy, and keeps results. Views are never kept: they cost nothing and share their base's memory."""

    def __init__(self, policy: Callable[..., Any], storage: Storage) -> None:
        super().__init__(storage)
        self.policy = policy

    def done(self, primitive: Any, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], result: Any) -> None:
        op = operator(primitive)
        if op in SAC_IGNORED_OPS:
            return
        key = self.next_key(op)
        with unobserved():
            shown = tuple(map(without_history, result)) if isinstance(result, tuple) else without_history(result)
            context = SelectiveCheckpointContext(is_recompute=False, op_output=shown)
            policy = self.policy(context, op, *operands, **params)
        saves = policy if isinstance(policy, bool) else policy in SAVING
        kept: Any = RECOMPUTE
        if saves and not primitive.view:
            kept = tuple(map(Kept, result)) if isinstance(result, tuple) else Kept(result)
        self.storage[key] = kept


class Serving(Counting):
    """In the run that computes again: gives kept results instead of running their kernels."""

    def __init__(self, storage: Storage, allow_mutation: bool) -> None:
        super().__init__(storage)
        self.allow_mutation = allow_mutation

    def run(self, primitive: Any, operands: Sequence[Any], params: dict[str, Any], compute: Callable[[], Any]) -> Any:
        op = operator(primitive)
        if op in SAC_IGNORED_OPS:
            return compute()
        key = self.next_key(op)
        entry = self.storage.get(key)
        if entry is None:
            if (op, 0) not in self.storage:
                raise RuntimeError(f"{op} encountered during backward but not found in storage. {MISMATCH}")
            raise RuntimeError(f"{op} invocation index {key[1]} encountered during backward but not found in storage. {MISMATCH}")
        if entry is RECOMPUTE:
            return compute()
        if entry is CONSUMED:
            raise RuntimeError(
                "Trying to backward an extra time. You are only allowed to backward once on any region computed under selective activation "
                "checkpoint."
            )
        self.storage[key] = CONSUMED
        if isinstance(entry, tuple):
            return tuple(kept.get(op, self.allow_mutation) for kept in entry)
        return entry.get(op, self.allow_mutation)


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> tuple[Keeping, Serving]:
    """Contexts for `checkpoint(context_fn=...)` that keep the results of some operations.

    Parameters
    ----------
    policy_fn_or_list : `policy(ctx, op, *args, **kwargs)`, which returns a `CheckpointPolicy`; or a list of the operations to keep.
        Operations are objects such as `ndgrad.ops.aten.mm.default`, and compare equal to the public function, `ndgrad.mm`.
    allow_cache_entry_mutation : take a kept result as it is, though it was changed in place.
    """
    if isinstance(policy_fn_or_list, list):
        policy = policy_of_list(policy_fn_or_list)
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    storage: Storage = {}
    return Keeping(policy, storage), Serving(storage, allow_cache_entry_mutation)


def policy_of_list(operations: list[Any]) -> Callable[..., CheckpointPolicy]:
    """Keep what these give, and nothing else."""
    for op in operations:
        if isinstance(op, Overload) or any(entry.function is op for entry in table.values()):
            continue
        hint = ""
        if isinstance(op, Packet):
            hint = (
                "Please update the OpOverloadPacket to a specific OpOverload.For example, if you have `torch.ops.aten.mm`, change it to "
                "`torch.ops.aten.mm.default`."
            )
        raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}. {hint}")

    def policy(context: SelectiveCheckpointContext, op: Overload, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        return CheckpointPolicy.MUST_SAVE if op in operations else CheckpointPolicy.PREFER_RECOMPUTE

    return policy
