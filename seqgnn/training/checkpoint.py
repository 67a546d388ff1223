"""Checkpoints: one file that holds tensors and, in its header, JSON; reading one executes nothing.

The format is `safetensors <https://github.com/huggingface/safetensors>`_. A file is written beside its place and moved
there once it is on disk, so there is always a whole one. Nothing here knows what is trained.
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
    """Writes a checkpoint in one piece; if that fails, what was there before is still there.

    Args:
        path: of the file; its folder must be there.
        tensors: by name, on any device.
        info: what JSON can hold, NaN and infinities apart.

    Raises:
        ValueError: if the file cannot be written, naming it.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_checkpoint(f"{folder}/a.safetensors", {"w": torch.ones(2)}, {"step": 3})
        ...     read_checkpoint(f"{folder}/a.safetensors")
        ({'w': tensor([1., 1.])}, {'step': 3})
    """
    from safetensors.torch import save

    path = Path(path)
    # Copies, since tensors that share memory, as tied weights do, are saved apart.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(info, allow_nan=False)
    header = {"format": FORMAT, "version": VERSION, "info": text, "sha256": _checksum(copies, text)}
    try:
        # In one entry, since safetensors writes several in an order of chance.
        write_atomically(path, save(copies, {FORMAT: json.dumps(header, sort_keys=True)}))
    except OSError as error:
        found = f"{error.strerror} at {path}; what was saved there before is untouched"
        raise ValueError(f"checkpoint: expected a file that can be written, got: {found}") from error


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the tensors, on the CPU, and the information of a checkpoint.

    Raises:
        ValueError: naming the file and what it is instead, if it is no whole checkpoint of this version or an older
            one: missing, damaged, a pickle, foreign or newer.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError as error:
        raise ValueError(f"checkpoint: expected a file that can be read, got {path} ({error.strerror})") from error
    if start in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise ValueError(f"checkpoint: expected safetensors in {path}, got a pickle, which could execute code")
    try:
        with safe_open(path, "pt") as opened:
            header = _header(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"checkpoint: expected a whole checkpoint in {path}, got a damaged file ({error})") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"checkpoint: expected format {FORMAT!r} in {path}, got {header.get('format')!r}")
    if header.get("version") not in ("1", VERSION):
        raise ValueError(
            f"checkpoint: expected version 1 or {VERSION} in {path}, got {header.get('version')!r}; "
            "read it with the version of seqgnn that wrote it"
        )
    text = str(header.get("info", ""))
    if header.get("sha256") != _checksum(tensors, text):
        raise ValueError(f"checkpoint: expected what was written in {path}, got a file changed since (sha256)")
    try:
        info = json.loads(text)
    except json.JSONDecodeError:
        info = None
    if not isinstance(info, dict):
        raise ValueError(f"checkpoint: expected information by name in {path}, got {text[:40]!r}")
    return tensors, info


def _header(metadata: dict[str, str]) -> dict[str, Any]:
    """What stands beside the tensors, of any version; version 1 had an entry for each part of it."""
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
    """The two checkpoints of a training run in a folder: the last state, to go on from, and the best weights.

    Args:
        folder: made if it is not there.
        every: steps between two savings of the state, at least 1; it is also saved when the weights are the best yet.
        about: what JSON can hold, kept with both: whatever it takes to make the model again.
        seconds: in the place of all that, the least time between two savings.

    Raises:
        ValueError: if the folder cannot be made or written to, or `every` is below 1.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: int = 500,
        about: Mapping[str, Any] | None = None,
        *,
        seconds: float | None = None,
    ) -> None:
        self.every = check_count("Checkpoints", "every", every, 1)
        self.seconds, self._saved = seconds, time.monotonic()
        self.folder, self.about = Path(folder), dict(about or {})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"Checkpoints: expected a folder that can be made, got {self.folder} ({error})") from error
        if not os.access(self.folder, os.W_OK):
            raise ValueError(f"Checkpoints: expected a folder that can be written, got {self.folder}")
        remove_unfinished(self.folder)

    def save(self, name: str, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        """Writes `LAST` or `BEST`."""
        self._saved = time.monotonic()
        write_checkpoint(self.folder / name, tensors, {**self.about, "training": info})

    def due(self, step: int, improved: bool) -> bool:
        """Whether to save after a step."""
        if self.seconds is not None:
            return time.monotonic() - self._saved >= self.seconds
        return improved or step % self.every == 0

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Returns the tensors and what was saved with them, or None if there is no such file yet."""
        if not (self.folder / name).exists():
            return None
        tensors, info = read_checkpoint(self.folder / name)
        if not isinstance(info.get("training"), dict):
            raise ValueError(f"Checkpoints: expected a training run in {self.folder / name}, got none")
        return tensors, info["training"]


def map_state(change: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Changes every tensor of a carried state: None, a tensor, or nested tuples of such.

    Example:
        >>> import torch
        >>> map_state(lambda t: t[:, :1], (torch.zeros(2, 3), None))[0].shape
        torch.Size([2, 1])
    """
    if state is None:
        return None
    return change(state) if isinstance(state, Tensor) else tuple(map_state(change, part) for part in state)


def flatten(name: str, value: Any) -> tuple[dict[str, Tensor], Any]:
    """Tensors of nested tuples, lists and dictionaries by names that begin with `name`, and the rest as JSON.

    Example:
        >>> import torch
        >>> flatten("s", {"a": [torch.zeros(1), 2.0]})
        ({'s.a.0': tensor([0.])}, {'a': [{'tensor': 's.a.0'}, 2.0]})
    """
    if isinstance(value, Tensor):
        return {name: value}, {"tensor": name}
    if isinstance(value, dict):
        parts = {str(key): flatten(f"{name}.{key}", part) for key, part in value.items()}
        tensors = {key: tensor for found, _ in parts.values() for key, tensor in found.items()}
        return tensors, {key: rest for key, (_, rest) in parts.items()}
    if isinstance(value, (tuple, list)):
        items = [flatten(f"{name}.{index}", part) for index, part in enumerate(value)]
        tensors = {key: tensor for found, _ in items for key, tensor in found.items()}
        return tensors, [rest for _, rest in items]
    return {}, value


def unflatten(tensors: Mapping[str, Tensor], rest: Any) -> Any:
    """The inverse of `flatten`; sequences come back as tuples, keys as strings.

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
