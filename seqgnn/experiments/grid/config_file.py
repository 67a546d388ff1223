"""Grids of comparisons in TOML files."""

import tomllib
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from seqgnn._utils.validation import one_of
from seqgnn.data.datasets.sources import SIGNALS
from seqgnn.experiments.grid.forecast_specs import ForecasterSpec
from seqgnn.experiments.grid.specs import ModelSpec
from seqgnn.training.config import TrainConfig

SAID: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list[str]: "a list of texts",
    list[int]: "a list of whole numbers",
    list[float]: "a list of numbers",
    list[dict]: "[[row]] tables",
    float | dict[int, float]: "a number, or a table [lr] with a number for each length",
}
KINDS: dict[str, Any] = {
    "task": str,
    "preset": str,
    "models": list[str],
    "lengths": list[int],
    "seeds": list[int],
    "lr": float | dict[int, float],
    "hidden": int,
    "window": int,
    "match_parameters": bool,
    "parameters": int,
    "device": str,
    "jobs": int,
    "backend": str,
    "scheduler": str,
    "save_every": float,
    "out": str,
    "data": str,
    "row": list[dict],
    "graph": str,
    "graph_kind": str,
    "missing": float,
    "positions": str,
    "units": str,
    "horizon": list[int],
    "lags": int,
    "split": list[float],
    "by": str,
    "gap": int,
    "calendar": list[str],
    "scale": str,
    "per": str,
    "loss": str,
    "metric": str,
    "refit": bool,
    "residual": bool,
    "skip": bool,
    "neighbors": bool,
    "K": int,
}


def read_grid(path: Path) -> dict[str, Any]:
    """Returns what a file asks for, by the names of `seqgnn compare`; rows of `[[row]]` come after the other models.

    Raises:
        ValueError: for a file that is no TOML, a key that is unknown, naming the nearest one, and a value that is not
            of its key's type.
    """
    who = f"compare, {path.name}"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"compare: expected a TOML file, got {path} ({error})") from error
    _check(who, "", content, _kinds(TrainConfig) | KINDS)
    table = ForecasterSpec if content.get("task") == "forecast" else ModelSpec
    rows = [_row(who, row, table) for row in content.pop("row", [])]
    if rows:
        content["models"] = [*content.get("models", []), *rows]
    if isinstance(content.get("lr"), dict):
        content["lr"] = {int(length): float(rate) for length, rate in content["lr"].items()}
    for name in ("out", "data", "graph", "positions"):  # beside the file, wherever the command is called
        if name in content and content[name] not in SIGNALS:
            content[name] = path.parent / content[name]
    return content


def _row(
    who: str, content: dict[str, Any], table: type[ModelSpec] | type[ForecasterSpec]
) -> ModelSpec | ForecasterSpec:
    _check(who, " of a row", content, _kinds(table))
    for name in ("label", "model"):
        if name not in content:
            raise ValueError(f"{who}: expected a {name} of each row, got {content}")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
    return table(**values)


def _check(who: str, whose: str, content: dict[str, Any], kinds: dict[str, Any]) -> None:
    for name, value in content.items():
        kind = kinds[one_of(who, f"key{whose}", name, sorted(kinds))]
        if not _fits(value, kind):
            raise ValueError(f"{who}: expected {name}{whose} to be {SAID[kind]}, got {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return any(_fits(value, part) for part in parts)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, parts[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(key.isdecimal() and _fits(value[key], parts[1]) for key in value)
    return type(value) is kind or (kind is float and type(value) is int)


def _kinds(table: type) -> dict[str, Any]:
    """Of the fields of a dataclass; tuples are lists in TOML, and there is no None."""
    found = {}
    for name, hint in get_type_hints(table).items():
        kind = next(part for part in get_args(hint) if part is not NoneType) if get_origin(hint) is UnionType else hint
        found[name] = list[get_args(kind)[0]] if get_origin(kind) is tuple else kind  # type: ignore[misc]
    return found
