"""seqgnn: graph layers, recurrent layers and their hybrids, compared on the same samples."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqgnn import data, nn

__version__ = "0.1.0"
__all__ = ["data", "nn"]


def __getattr__(name: str) -> ModuleType:
    """The subpackages, imported when they are first asked for: torch takes seconds, which `seqgnn --help` has not."""
    if name in __all__:
        return import_module(f"seqgnn.{name}")
    raise AttributeError(f"module 'seqgnn' has no attribute {name!r}")
