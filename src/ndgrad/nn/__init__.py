"""What networks are built from: modules, parameters, and functions without state."""

from ndgrad.nn import functional as functional
from ndgrad.nn import init as init
from ndgrad.nn import modules as modules
from ndgrad.nn import parameter as parameter
from ndgrad.nn import utils as utils
from ndgrad.nn.modules import *  # noqa: F403  every module that there is, by its name
from ndgrad.nn.modules import __all__ as _modules
from ndgrad.nn.parameter import Buffer as Buffer
from ndgrad.nn.parameter import Parameter as Parameter

__all__ = ["Buffer", "Parameter", "functional", "init", "modules", "parameter", "utils", *_modules]
