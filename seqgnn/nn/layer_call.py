"""What a call of a layer does around its equations, so that torch's tools treat it as they treat one of torch.nn."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from torch import nn
from torch.fx import Proxy
from torch.nn.utils import parametrize

Forward = TypeVar("Forward", bound=Callable[..., Any])


def layer_call(forward: Forward) -> Forward:
    """Decorates the `forward` of a layer.

    Traced by `torch.fx`, the call is one node of the graph, as those of torch.nn's layers are. A parametrized weight is
    computed once a call, since that may have an effect (`spectral_norm` takes a step of its power iteration).
    """
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    required = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]

    @functools.wraps(forward)
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        missing = [name for name in required[len(args) :] if name not in kwargs]
        if missing:
            raise TypeError(f"{type(self).__name__}: expected {' and '.join(required)}, got no {missing[0]}")
        first = args[0] if args else next(iter(kwargs.values()), None)
        if isinstance(first, Proxy):
            path = first.tracer.path_of_module(self)  # type: ignore[attr-defined]
            return first.tracer.create_proxy("call_module", path, args, kwargs)
        if _is_parametrized(self):
            with parametrize.cached():
                return forward(self, *args, **kwargs)
        return forward(self, *args, **kwargs)

    return call  # type: ignore[return-value]


def _is_parametrized(module: nn.Module) -> bool:
    """True if a weight of a module or inside it is parametrized; `Module.modules()` would take longer than a cell."""
    parts = module._modules
    return "parametrizations" in parts or any(_is_parametrized(part) for part in parts.values() if part is not None)


def refuse_script(self: Any) -> NoReturn:
    """As `__prepare_scriptable__` of a layer: what `torch.jit.script` says of it.

    Raises:
        NotImplementedError: always.
    """
    plain = "; to_torch of seqgnn.nn.convert makes torch's own layer of it" if hasattr(self, "recurrent_bias") else ""
    instead = f"torch.export, as seqgnn.nn.export does, or torch.compile{plain}"
    raise NotImplementedError(f"{type(self).__name__}: expected a tool other than torch.jit.script: {instead}")
