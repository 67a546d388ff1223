"""The options added to torch.nn's layers and cells: initialization, engine, and one bias or two."""

import warnings
from typing import Any

import torch

from seqgnn._utils.validation import check_sizes, one_of
from seqgnn.nn.init import Init, Recipe, apply_recipes, resolve_recipes
from seqgnn.nn.layer_call import Layer, refuse_script
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.functional import Cell


class EngineMixin(Layer):
    """The base class of layers and cells: initialization, one bias instead of two, and the choice of an engine."""

    kind: str
    mode: str
    input_size: int
    hidden_size: int
    engines: tuple[str, ...] = ("auto", "native", "reference")
    checkpoint_every: int | None = None
    recipes: tuple[Recipe, ...] = ()
    __prepare_scriptable__ = refuse_script

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "qconfig":
            instead = "quantize seqgnn.nn.convert.to_torch(model)"
            warnings.warn(f"{type(self).__name__}: torch.ao.quantization leaves it in float; {instead}", stacklevel=2)
        super().__setattr__(name, value)

    def _write(
        self,
        engine: str,
        init: Init,
        forget_bias: float | None,
        recurrent_bias: bool,
        checkpoint_every: int | None = None,
    ) -> None:
        caller = type(self).__name__
        if checkpoint_every is not None and engine == "native":
            raise ValueError(f"{caller}: expected another engine with checkpoint_every, got 'native'")
        self.checkpoint_every = checkpoint_every
        check_sizes(caller, input_size=self.input_size, hidden_size=self.hidden_size)
        self.engine = one_of(caller, "engine", engine, self.engines)
        self.recurrent_bias = recurrent_bias
        if not recurrent_bias:
            self._drop_recurrent_bias(caller)
        self.recipes = resolve_recipes(caller, self.kind, init, forget_bias, bool(self.bias))
        apply_recipes(self.recipes, self, self.kind)

    def _drop_recurrent_bias(self, caller: str) -> None:
        if self.kind == "gru":
            hint = "b_hn is inside the reset gate's product"
            raise ValueError(f"{caller}: expected recurrent_bias=True, got False; {hint}")
        for name, parameter in list(self.named_parameters(recurse=False)):
            if name.startswith("bias_hh"):
                delattr(self, name)
                self.register_buffer(name, torch.zeros_like(parameter))

    def reset_parameters(self) -> None:
        """Reset the weights to torch's default, then apply `init` and `forget_bias`."""
        super().reset_parameters()  # type: ignore[misc]
        apply_recipes(self.recipes, self, self.kind)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in [name for name, _ in self.named_buffers(recurse=False) if name.startswith("bias_hh")]:
            buffer, folded = prefix + name, prefix + name.replace("bias_hh", "bias_ih")
            if buffer in state_dict:
                bias_ih = state_dict.get(folded, getattr(self, folded.removeprefix(prefix)).detach())
                if bias_ih.shape == state_dict[buffer].shape:
                    state_dict[folded] = bias_ih + state_dict[buffer]
                state_dict[buffer] = torch.zeros_like(state_dict[buffer])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        parts = [super().extra_repr()]
        if self.engine != "auto":
            parts.append(f"engine={self.engine!r}")
        if self.checkpoint_every is not None:
            parts.append(f"checkpoint_every={self.checkpoint_every}")
        if not self.recurrent_bias:
            parts.append("recurrent_bias=False")
        if self.recipes:
            parts.append(f"init={list(self.recipes)}")
        return ", ".join(parts)

    @property
    def _cell(self) -> Cell:
        if self.kind == "rnn":
            relu = "RELU" in self.mode
            return cells.rnn_relu if relu else cells.rnn_tanh
        return cells.lstm if self.kind == "lstm" else cells.gru
