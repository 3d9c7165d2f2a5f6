"""`torch.autograd.profiler_util`: the events of profiles under the name of PyTorch's module."""

from ndgrad.autograd.profiling.events import DeviceType as DeviceType
from ndgrad.autograd.profiling.events import EventList as EventList
from ndgrad.autograd.profiling.events import EventMetadata as EventMetadata
from ndgrad.autograd.profiling.events import FormattedTimesMixin as FormattedTimesMixin
from ndgrad.autograd.profiling.events import FunctionEvent as FunctionEvent
from ndgrad.autograd.profiling.events import FunctionEventAvg as FunctionEventAvg
from ndgrad.autograd.profiling.events import Interval as Interval
from ndgrad.autograd.profiling.events import Kernel as Kernel
from ndgrad.autograd.profiling.events import MemRecordsAcc as MemRecordsAcc
from ndgrad.autograd.profiling.events import StringTable as StringTable

__all__ = [
    "EventList", "EventMetadata", "FormattedTimesMixin", "FunctionEvent", "FunctionEventAvg", "Interval", "Kernel", "MemRecordsAcc",
    "StringTable",
]  # fmt: skip
