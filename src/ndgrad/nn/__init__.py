"""What networks are built from: modules, parameters, and functions without state."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ndgrad.nn import functional as functional
from ndgrad.nn import init as init
from ndgrad.nn import parameter as parameter
from ndgrad.nn.parameter import Buffer as Buffer
from ndgrad.nn.parameter import Parameter as Parameter

if TYPE_CHECKING:
    from ndgrad.nn import modules as modules
    from ndgrad.nn import utils as utils
    from ndgrad.nn.modules import *  # noqa: F403  every module that there is, by its name
else:

    def __getattr__(name: str) -> Any:
        """Modules and what goes with them, imported when somebody asks for them: programs without networks need not wait."""
        if name in ("modules", "utils"):
            return import_module(f"ndgrad.nn.{name}")
        modules = import_module("ndgrad.nn.modules")
        if name == "__all__":
            return [*_NAMES, *modules.__all__]
        if name not in modules.__all__:
            raise AttributeError(f"module 'ndgrad.nn' has no attribute '{name}'")
        found = globals()[name] = getattr(modules, name)
        return found

    _NAMES = ("Buffer", "Parameter", "functional", "init", "modules", "parameter", "utils")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
