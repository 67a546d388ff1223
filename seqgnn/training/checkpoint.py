"""Checkpoints: files of tensors with JSON in the header; reading one executes no code.

The format is `safetensors <https://github.com/huggingface/safetensors>`_. A file is written under a temporary name and
then renamed, so it is never incomplete.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqgnn._utils.files import remove_unfinished, write_atomically
from seqgnn._utils.validation import check_count

FORMAT = "seqgnn-checkpoint"
VERSION = 2
LAST, BEST = "last.safetensors", "best.safetensors"


def write_checkpoint(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically; if that fails, an existing file is unchanged.

    Args:
        path: path of the file, in an existing folder.
        tensors: tensors by name, on any device.
        info: JSON-compatible values without NaN and infinities.

    Raises:
        ValueError: if the file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_checkpoint(f"{folder}/a.safetensors", {"w": torch.ones(2)}, {"step": 3})
        ...     read_checkpoint(f"{folder}/a.safetensors")
        ({'w': tensor([1., 1.])}, {'step': 3})
    """
    from safetensors.torch import save

    path = Path(path)
    # Copies, since safetensors does not save tensors that share memory, such as tied weights.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(info, allow_nan=False)
    header = {"format": FORMAT, "version": VERSION, "info": text, "sha256": _checksum(copies, text)}
    try:
        # A single entry, since safetensors does not write several in a fixed order.
        write_atomically(path, save(copies, {FORMAT: json.dumps(header, sort_keys=True)}))
    except OSError as error:
        got = f"{error.strerror} at {path}; an earlier checkpoint there is unchanged"
        raise ValueError(f"checkpoint: expected a writable file, got: {got}") from error


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the information of a checkpoint.

    Raises:
        ValueError: if the file is missing, damaged, a pickle, of another format or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError as error:
        raise ValueError(f"checkpoint: expected a readable file, got {path} ({error.strerror})") from error
    if start in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise ValueError(f"checkpoint: expected safetensors in {path}, got a pickle, which could execute code")
    try:
        with safe_open(path, "pt") as opened:
            header = _header(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError) as error:
        got = f"a damaged file ({error})"
        raise ValueError(f"checkpoint: expected a complete checkpoint in {path}, got {got}") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"checkpoint: expected format {FORMAT!r} in {path}, got {header.get('format')!r}")
    if header.get("version") not in ("1", VERSION):
        raise ValueError(
            f"checkpoint: expected version 1 or {VERSION} in {path}, got {header.get('version')!r}; "
            "read it with the version of seqgnn that wrote it"
        )
    text = str(header.get("info", ""))
    if header.get("sha256") != _checksum(tensors, text):
        raise ValueError(f"checkpoint: expected the checksum (sha256) of {path}, got a modified file")
    try:
        info = json.loads(text)
    except json.JSONDecodeError:
        info = None
    if not isinstance(info, dict):
        raise ValueError(f"checkpoint: expected information by name in {path}, got {text[:40]!r}")
    return tensors, info


def _header(metadata: dict[str, str]) -> dict[str, Any]:
    """Return the header of any version; version 1 had an entry for each part."""
    try:
        header = json.loads(metadata[FORMAT])
    except (KeyError, json.JSONDecodeError):
        return dict(metadata)
    return header if isinstance(header, dict) else {}


def _checksum(tensors: Mapping[str, Tensor], info: str) -> str:
    digest = hashlib.sha256(info.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Checkpoints:
    """The two checkpoints of a training run in a folder: the last state, to resume from, and the best weights.

    Args:
        folder: created if it does not exist.
        every: number of steps between two saves, at least 1; the state is also saved when the weights are the best yet.
        about: JSON-compatible values stored with both, such as the options of the model.
        seconds: minimum time between two saves, an alternative to `every`.
        parents: whether folders above it are created as well.

    Raises:
        ValueError: if the folder cannot be created or written to, or `every` is below 1.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: int = 500,
        about: Mapping[str, Any] | None = None,
        *,
        seconds: float | None = None,
        parents: bool = True,
    ) -> None:
        self.every = check_count("Checkpoints", "every", every, 1)
        self.seconds, self._saved = seconds, time.monotonic()
        self.folder, self.about = Path(folder), dict(about or {})
        try:
            self.folder.mkdir(parents=parents, exist_ok=True)
        except OSError as error:
            raise ValueError(f"Checkpoints: cannot create the folder {self.folder} ({error})") from error
        if not os.access(self.folder, os.W_OK):
            raise ValueError(f"Checkpoints: expected a writable folder, got {self.folder}")
        remove_unfinished(self.folder)

    def save(self, name: str, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        """Write `LAST` or `BEST`."""
        self._saved = time.monotonic()
        write_checkpoint(self.folder / name, tensors, {**self.about, "training": info})

    def due(self, step: int, improved: bool) -> bool:
        """Return True if the state should be saved after a step."""
        if self.seconds is not None:
            return time.monotonic() - self._saved >= self.seconds
        return improved or step % self.every == 0

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and their information, or None if there is no such file."""
        if not (self.folder / name).exists():
            return None
        tensors, info = read_checkpoint(self.folder / name)
        if not isinstance(info.get("training"), dict):
            raise ValueError(f"Checkpoints: expected a training run in {self.folder / name}, got none")
        return tensors, info["training"]


def map_state(change: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Return a state (None, a tensor, or nested tuples of them) with a function applied to every tensor.

    Example:
        >>> import torch
        >>> map_state(lambda t: t[:, :1], (torch.zeros(2, 3), None))[0].shape
        torch.Size([2, 1])
    """
    if state is None:
        return None
    return change(state) if isinstance(state, Tensor) else tuple(map_state(change, part) for part in state)


def flatten(name: str, value: Any) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors of nested tuples, lists and dictionaries by name, with the prefix `name`, and the rest as
    JSON-compatible values.

    Example:
        >>> import torch
        >>> flatten("s", {"a": [torch.zeros(1), 2.0]})
        ({'s.a.0': tensor([0.])}, {'a': [{'tensor': 's.a.0'}, 2.0]})
    """
    if isinstance(value, Tensor):
        return {name: value}, {"tensor": name}
    if isinstance(value, dict):
        parts = {str(key): flatten(f"{name}.{key}", part) for key, part in value.items()}
        tensors = {key: tensor for flat, _ in parts.values() for key, tensor in flat.items()}
        return tensors, {key: rest for key, (_, rest) in parts.items()}
    if isinstance(value, (tuple, list)):
        items = [flatten(f"{name}.{index}", part) for index, part in enumerate(value)]
        tensors = {key: tensor for flat, _ in items for key, tensor in flat.items()}
        return tensors, [rest for _, rest in items]
    return {}, value


def unflatten(tensors: Mapping[str, Tensor], rest: Any) -> Any:
    """Return the inverse of `flatten`; sequences become tuples and keys strings.

    Raises:
        ValueError: if a tensor is missing.
    """
    if isinstance(rest, dict):
        if set(rest) == {"tensor"}:
            if rest["tensor"] not in tensors:
                raise ValueError(f"checkpoint: expected a tensor {rest['tensor']!r}, got none of that name")
            return tensors[rest["tensor"]]
        return {key: unflatten(tensors, part) for key, part in rest.items()}
    if isinstance(rest, list):
        return tuple(unflatten(tensors, part) for part in rest)
    return rest
