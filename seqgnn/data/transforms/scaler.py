"""Scaling, fitted on the training part and inverted before errors are computed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqgnn._utils.validation import one_of


@dataclass(frozen=True, eq=False)
class Scaler:
    r"""Scaling of each feature: :math:`z = (x - \text{offset}) / \text{scale}`.

    Attributes:
        offset, scale: `[F]`, the same for all nodes, or `[N, F]`; no scale is 0.

    Raises:
        ValueError: if their shapes differ or are others, or a value is not finite or a scale is 0.

    Example:
        >>> scaler = Scaler.fit(torch.tensor([[[1.0]], [[3.0]]]))
        >>> scaler.transform(torch.tensor([[5.0]])), scaler.inverse(torch.tensor([[3.0]]))
        (tensor([[3.]]), tensor([[5.]]))
    """

    offset: Tensor
    scale: Tensor

    def __post_init__(self) -> None:
        shapes = tuple(self.offset.shape), tuple(self.scale.shape)
        if shapes[0] != shapes[1] or len(shapes[0]) not in (1, 2):
            raise ValueError(f"Scaler: expected offset and scale, both [F] or [N, F], got {shapes[0]} and {shapes[1]}")
        if not (self.offset.isfinite().all() and self.scale.isfinite().all() and (self.scale != 0).all()):
            raise ValueError("Scaler: expected finite offsets and finite scales other than 0, got others")

    @classmethod
    def fit(cls, x: Tensor, mask: Tensor | None = None, *, per: str = "all", kind: str = "standard") -> "Scaler":
        """Return the scaling of the observed values, computed in float64; constant features get scale 1.

        Args:
            x: the training part only.
            mask: True where observed; None: everywhere.
            per: "all", or "node" for a scaling per node; a node that is never observed gets the scaling of all.
            kind: "standard" (mean and population standard deviation), "max" (no offset, the largest absolute value),
                "minmax" (to [0, 1]) or "none".

        Shapes:
            x ``[T, N, F]``; mask ``[T, N]``, ``[T, N, 1]`` or ``[T, N, F]``.

        Raises:
            ValueError: if shapes do not match, observed values are not finite, or a feature is never observed.
        """
        one_of("Scaler", "per", per, ("all", "node"))
        one_of("Scaler", "kind", kind, ("standard", "max", "minmax", "none"))
        observed = _observed(x, mask)
        values = x.double()
        if not values[observed].isfinite().all():
            raise ValueError("Scaler: expected finite values where observed, got others")
        if not observed.any(dim=(0, 1)).all():
            raise ValueError("Scaler: expected every feature to be observed somewhere, got one that never is")
        offset, scale = _statistics(values, observed, (0, 1), kind)
        if per == "node":
            unobserved, per_node = ~observed.any(dim=0), _statistics(values, observed, (0,), kind)
            offset, scale = (torch.where(unobserved, a, b) for a, b in zip((offset, scale), per_node))
        return cls(offset.to(x.dtype), scale.to(x.dtype))

    def transform(self, x: Tensor) -> Tensor:
        """Return ``[..., N, F]`` scaled.

        Raises:
            ValueError: if the features or nodes of `x` differ from the fitted ones.
        """
        self._check(x)
        return (x - self.offset) / self.scale

    def inverse(self, z: Tensor) -> Tensor:
        """Return ``[..., N, F]`` in the original units.

        Raises:
            ValueError: as for `transform`.
        """
        self._check(z)
        return z * self.scale + self.offset

    def to(self, device: str | torch.device) -> "Scaler":
        """Return a copy on a device."""
        return Scaler(self.offset.to(device), self.scale.to(device))

    def _check(self, x: Tensor) -> None:
        shape = tuple(self.scale.shape)
        if tuple(x.shape[-len(shape) :]) != shape or x.dim() < 2:
            expected = ", ".join(map(str, ("...", *(() if len(shape) == 2 else ("N",)), *shape)))
            raise ValueError(f"Scaler: expected [{expected}], as it was fitted on, got {tuple(x.shape)}")


def _observed(x: Tensor, mask: Tensor | None) -> Tensor:
    if x.dim() != 3 or x.numel() == 0 or not x.is_floating_point():
        raise ValueError(f"Scaler: expected floats [T, N, F], not empty, got {x.dtype} {tuple(x.shape)}")
    if mask is None:
        return torch.ones_like(x, dtype=torch.bool)
    wide = mask[..., None] if mask.dim() == 2 else mask
    if mask.dtype != torch.bool or wide.shape[:2] != x.shape[:2] or wide.size(-1) not in (1, x.size(-1)):
        expected = f"a bool mask [T, N] or [T, N, F] for x {tuple(x.shape)}"
        raise ValueError(f"Scaler: expected {expected}, got {mask.dtype} {tuple(mask.shape)}")
    return wide.expand_as(x)


def _statistics(x: Tensor, observed: Tensor, dims: tuple[int, ...], kind: str) -> tuple[Tensor, Tensor]:
    low = x.masked_fill(~observed, torch.inf).amin(dims)
    high = x.masked_fill(~observed, -torch.inf).amax(dims)
    if kind == "standard":
        count = observed.sum(dims)
        offset = x.masked_fill(~observed, 0).sum(dims) / count
        scale = ((x - offset).masked_fill(~observed, 0).square().sum(dims) / count).sqrt()
    elif kind == "minmax":
        offset, scale = low, high - low
    else:
        offset = torch.zeros_like(low)
        scale = torch.maximum(low.abs(), high.abs()) if kind == "max" else torch.ones_like(low)
    return offset, torch.where(high > low, scale, 1.0)
