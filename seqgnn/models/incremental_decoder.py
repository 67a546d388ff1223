"""Incremental decoding: a model with a state reads a text step by step, each character once."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import describe
from seqgnn.data.batching import sequence_batch
from seqgnn.data.paths import path_graph


class IncrementalDecoder:
    """A model that is called step by step, with its state or the characters of its context.

    Args:
        model: called as in `seqgnn.models.generate`.
        classes: V, size of the vocabulary.
        device: device of the model.

    Raises:
        ValueError: by `read`, if the model has another number of classes or no state, or if the largest logit is not
            finite; by `select`, if its state does not have the batch as dimension 1.
    """

    def __init__(self, model: nn.Module, classes: int, device: torch.device) -> None:
        self.model = model
        self.classes = classes
        self.device = device
        self._hops = tuple(getattr(model, "hops", None) or (1,))
        self._context: int | None = getattr(model, "context_length", None)
        self._state: Any = None
        self._batch: Any = None
        self._shape = torch.Size()

    def read(self, ids: Tensor) -> Tensor:
        """Return the logits `[B, V]` after the last of ids `[B, L]`."""
        ids = ids.to(self.device)
        if self._context is not None:
            before = ids[:, :0] if self._state is None else self._state.T
            ids = torch.cat([before, ids], dim=1)[:, -self._context :]
        if ids.shape != self._shape:
            self._batch = sequence_batch(ids, ids, path_graph(ids.size(1), hops=self._hops))
            self._shape = ids.shape
        else:  # reuse the previous batch, since creating one takes as long as a small layer
            self._batch["x"] = ids.flatten()
        logits, state = self.model(self._batch, None if self._context else self._state)
        self._state = ids.T if self._context else state
        if logits.shape != (ids.numel(), self.classes):
            raise ValueError(
                f"generate: expected a model with logits {[ids.numel(), self.classes]}, one row per position and one "
                f"column per character, got {list(logits.shape)}"
            )
        if self._state is None:
            raise ValueError(
                "generate: expected a model that returns a state (as those of seqgnn.models with readout 'last' and "
                f"without positions) or has a context_length, got neither from {type(self.model).__name__}"
            )
        logits = logits.view(*ids.shape, -1)[:, -1]
        if not all(map(math.isfinite, logits.amax(-1).tolist())):
            raise ValueError("generate: expected logits whose largest is finite, got NaN or infinite values")
        return logits

    def select(self, rows: Tensor) -> None:
        """Continue with these sequences; each may occur several times."""
        self._state = self._select(self._state, rows)

    def _select(self, state: Any, rows: Tensor) -> Any:
        if isinstance(state, tuple):
            return tuple(self._select(part, rows) for part in state)
        if not isinstance(state, Tensor) or state.dim() < 2 or state.size(1) != self._shape[0]:
            expected = (
                f"a state of tensors, or nested tuples of them, with the batch of {self._shape[0]} as dimension 1"
            )
            raise ValueError(f"generate: expected {expected}, got {describe(state)}")
        return state.index_select(1, rows.to(state.device))  # a part may be on the CPU


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; on exit the modes of all modules are restored."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
