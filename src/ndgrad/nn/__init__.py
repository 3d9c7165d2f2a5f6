"""What networks are built from: functions without state, and parameters."""

from ndgrad.nn import functional as functional
from ndgrad.nn import init as init
from ndgrad.nn import parameter as parameter
from ndgrad.nn.parameter import Parameter as Parameter

__all__ = ["Parameter", "functional", "init", "parameter"]
