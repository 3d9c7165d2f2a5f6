"""`torch.autograd.profiler_legacy`: the old name of the profiler."""

from ndgrad.autograd import profiler

__all__ = ["profile"]


class profile(profiler.profile):
    """Use `ndgrad.profiler.profile`, or `ndgrad.autograd.profiler.profile`, which this is."""

    _title = "profiler_legacy.profile"
