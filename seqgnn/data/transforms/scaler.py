"""Scaling that is fitted on the training part, and taken back before anything is scored."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqgnn._utils.validation import one_of


@dataclass(frozen=True, eq=False)
class Scaler:
    r""":math:`z = (x - \text{offset}) / \text{scale}`, each feature on its own.

    Attributes:
        offset, scale: `[F]`, the same for all nodes, or `[N, F]`; no scale is 0. They are all there is to save.

    Raises:
        ValueError: if they are not of one such shape, or a scale is 0 or not finite.

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
        """The scaling of what is observed, in double precision; constant features get scale 1.

        Args:
            x: the training part and nothing else.
            mask: True where observed; all if None.
            per: "all", or "node" for a scaling of each node; a node that is never observed gets that of all.
            kind: "standard" (mean and population standard deviation), "max" (no offset, the largest absolute value),
                "minmax" (to [0, 1]) or "none".

        Shapes:
            x ``[T, N, F]``; mask ``[T, N]``, ``[T, N, 1]`` or ``[T, N, F]``.

        Raises:
            ValueError: for shapes that do not fit, what is observed but not finite, and if nothing is observed.
        """
        one_of("Scaler", "per", per, ("all", "node"))
        one_of("Scaler", "kind", kind, ("standard", "max", "minmax", "none"))
        seen = _observed(x, mask)
        values = x.double()
        if not values[seen].isfinite().all():
            raise ValueError("Scaler: expected finite values where observed, got others")
        if not seen.any(dim=(0, 1)).all():
            raise ValueError("Scaler: expected every feature to be observed somewhere, got one that never is")
        offset, scale = _statistics(values, seen, (0, 1), kind)
        if per == "node":
            of_all, never = (offset, scale), ~seen.any(dim=0)
            offset, scale = (torch.where(never, a, b) for a, b in zip(of_all, _statistics(values, seen, (0,), kind)))
        return cls(offset.to(x.dtype), scale.to(x.dtype))

    def transform(self, x: Tensor) -> Tensor:
        """Scales ``[..., N, F]``.

        Raises:
            ValueError: if `x` has other features or nodes than what was fitted.
        """
        self._check(x)
        return (x - self.offset) / self.scale

    def inverse(self, z: Tensor) -> Tensor:
        """Takes the scaling of ``[..., N, F]`` back.

        Raises:
            ValueError: as `transform`.
        """
        self._check(z)
        return z * self.scale + self.offset

    def to(self, device: str | torch.device) -> "Scaler":
        """The same on a device."""
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


def _statistics(x: Tensor, seen: Tensor, over: tuple[int, ...], kind: str) -> tuple[Tensor, Tensor]:
    low = x.masked_fill(~seen, torch.inf).amin(over)
    high = x.masked_fill(~seen, -torch.inf).amax(over)
    if kind == "standard":
        count = seen.sum(over)
        offset = x.masked_fill(~seen, 0).sum(over) / count
        scale = ((x - offset).masked_fill(~seen, 0).square().sum(over) / count).sqrt()
    elif kind == "minmax":
        offset, scale = low, high - low
    else:
        offset = torch.zeros_like(low)
        scale = torch.maximum(low.abs(), high.abs()) if kind == "max" else torch.ones_like(low)
    return offset, torch.where(high > low, scale, 1.0)
