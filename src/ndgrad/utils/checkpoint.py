"""`torch.utils.checkpoint`: keep the inputs of parts of a program instead of all that they compute, and compute it again in backward."""

from __future__ import annotations

from ndgrad.utils.checkpointing import DefaultDeviceType as DefaultDeviceType
from ndgrad.utils.checkpointing import checkpoint as checkpoint
from ndgrad.utils.checkpointing import checkpoint_sequential as checkpoint_sequential
from ndgrad.utils.checkpointing import get_device_states as get_device_states
from ndgrad.utils.checkpointing import set_checkpoint_debug_enabled as set_checkpoint_debug_enabled
from ndgrad.utils.checkpointing import set_checkpoint_early_stop as set_checkpoint_early_stop
from ndgrad.utils.checkpointing import set_device_states as set_device_states
from ndgrad.utils.recomputing import CheckpointError as CheckpointError
from ndgrad.utils.recomputing import GraphExecGroup as GraphExecGroup
from ndgrad.utils.recomputing import noop_context_fn as noop_context_fn
from ndgrad.utils.reentrant import CheckpointFunction as CheckpointFunction
from ndgrad.utils.reentrant import check_backward_validity as check_backward_validity
from ndgrad.utils.reentrant import detach_variable as detach_variable
from ndgrad.utils.selective import SAC_IGNORED_OPS as SAC_IGNORED_OPS
from ndgrad.utils.selective import CheckpointPolicy as CheckpointPolicy
from ndgrad.utils.selective import SelectiveCheckpointContext as SelectiveCheckpointContext
from ndgrad.utils.selective import create_selective_checkpoint_contexts as create_selective_checkpoint_contexts

__all__ = [
    "SAC_IGNORED_OPS",
    "CheckpointError",
    "CheckpointFunction",
    "CheckpointPolicy",
    "DefaultDeviceType",
    "GraphExecGroup",
    "SelectiveCheckpointContext",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "create_selective_checkpoint_contexts",
    "detach_variable",
    "get_device_states",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
    "set_device_states",
]
