"""The call of a layer around its equations, so that torch's tools treat it as a layer of torch.nn."""

import contextlib
import functools
import inspect
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TypeVar

import torch
from torch import nn
from torch.fx import Proxy
from torch.nn.utils import parametrize

from seqgnn._utils.torch_internals import is_parametrized
from seqgnn._utils.validation import check_options

Forward = TypeVar("Forward", bound=Callable[..., Any])
Init = TypeVar("Init", bound=Callable[..., None])


class Layer(nn.Module):
    """A module whose call, traced by `torch.fx`, is one node of the graph, as those of torch.nn's layers are.

    Hooks, and what a subclass does around the `forward` of a layer, then run once, where the traced program does.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        proxy = _first_proxy((*args, *kwargs.values()))
        if proxy is None:
            return nn.Module.__call__(self, *args, **kwargs)
        tracer: Any = proxy.tracer
        return tracer.create_proxy("call_module", tracer.path_of_module(self), args, kwargs)


def _first_proxy(values: Iterable[Any]) -> Proxy | None:
    """Return the first proxy of a traced program among the values, also inside states and lists of graphs."""
    for value in values:
        proxy = _first_proxy(value) if isinstance(value, (tuple, list)) else value
        if isinstance(proxy, Proxy):
            return proxy
    return None


def layer_call(forward: Forward) -> Forward:
    """Decorates the `forward` of a layer.

    A parametrized weight is computed once a call, since that may have an effect (`spectral_norm` takes a step of its
    power iteration).
    """
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    required = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]

    @functools.wraps(forward)
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        missing = [name for name in required[len(args) :] if name not in kwargs]
        if missing:
            raise TypeError(f"{type(self).__name__}: expected {' and '.join(required)}, got no {missing[0]}")
        if is_parametrized(self):
            with _weights_computed_once():
                return forward(self, *args, **kwargs)
        return forward(self, *args, **kwargs)

    return call  # type: ignore[return-value]


def layer_options(init: Init) -> Init:
    """Decorates the constructor of a layer: options that mean the same in all layers are checked before it runs, see
    :func:`seqgnn._utils.validation.check_options`."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            arguments = signature.bind(self, *args, **kwargs).arguments
        except TypeError:
            arguments = {}  # the constructor itself says which one is missing or unknown
        check_options(type(self).__name__, {**kwargs, **arguments})
        init(self, *args, **kwargs)

    return call  # type: ignore[return-value]


# torch keeps such weights in one place for all threads, without asking which autograd graph they are of. Reentrant,
# since a layer may hold another.
_computing = threading.RLock()


def _renew_lock() -> None:
    global _computing
    _computing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextlib.contextmanager
def _one_thread_at_a_time() -> Iterator[None]:
    with _computing, parametrize.cached():
        yield


def _weights_computed_once() -> contextlib.AbstractContextManager[None]:
    return parametrize.cached() if torch.compiler.is_compiling() else _one_thread_at_a_time()


def refuse_script(self: Any) -> NoReturn:
    """As `__prepare_scriptable__` of a layer: what `torch.jit.script` says of it.

    Raises:
        NotImplementedError: always.
    """
    plain = "; to_torch of seqgnn.nn.convert makes torch's own layer of it" if hasattr(self, "recurrent_bias") else ""
    instead = f"torch.export, as seqgnn.nn.export does, or torch.compile{plain}"
    raise NotImplementedError(f"{type(self).__name__}: expected a tool other than torch.jit.script: {instead}")
