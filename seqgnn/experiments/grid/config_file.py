"""Grids of comparisons in TOML files."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from seqgnn._utils.options import Option, options_of
from seqgnn._utils.validation import one_of
from seqgnn.data.datasets.sources import SIGNALS
from seqgnn.experiments.runs.problem import PROBLEMS
from seqgnn.experiments.runs.specs import ModelSpec, Spec

TYPES: dict[Any, str] = {  # as messages call them
    str: "text",
    Path: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list[str]: "a list of texts",
    list[int]: "a list of integers",
    list[float]: "a list of numbers",
    list[dict]: "[[row]] tables",
    dict[int, float]: "a table with a number for each size",
}
PATHS = ("out", "data", "graph", "graph_nodes", "positions")


def read_grid(path: Path, options: Sequence[Option]) -> dict[str, Any]:
    """Return the options in a file; the models of `[[row]]` tables come after those of `models`.

    Args:
        path: TOML file; paths in it are relative to its folder.
        options: the options that it may have.

    Raises:
        ValueError: if the file is not TOML, a key is unknown, or a value is not of its key's type.
    """
    caller = f"compare, {path.name}"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"compare: expected a TOML file, got {path} ({error})") from error
    words = {option.name: option.words for option in options}
    lists = {name: value for name, value in content.items() if value not in words.get(name, ())}
    _check(caller, "", lists, {option.name: option.kind for option in options} | {"row": list[dict]})
    problem = PROBLEMS.get(content.get("task", ""))
    spec = ModelSpec if problem is None else problem.spec
    specs = [_spec(caller, row, spec) for row in content.pop("row", [])]
    if specs:
        content["models"] = [*content.get("models", []), *specs]
    for option in options:
        if option.name not in content:
            continue
        value = content[option.name]
        if option.zero_is_none and value == 0:
            content[option.name] = None
        elif get_origin(option.kind) is dict:
            content[option.name] = {int(size): float(number) for size, number in value.items()}
        elif option.name in PATHS and value not in SIGNALS:
            content[option.name] = path.parent / value
    return content


def _spec(caller: str, content: dict[str, Any], table: type[Spec]) -> Spec:
    _check(caller, " of a row", content, {option.name: option.kind for option in options_of(table)})
    for name in ("label", "model"):
        if name not in content:
            raise ValueError(f"{caller}: expected a {name} of each row, got {content}")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
    return table(**values)


def _check(caller: str, suffix: str, content: dict[str, Any], kinds: dict[str, Any]) -> None:
    for name, value in content.items():
        kind = kinds[one_of(caller, f"key{suffix}", name, sorted(kinds))]
        if not _fits(value, kind):
            raise ValueError(f"{caller}: expected {name}{suffix} to be {TYPES[kind]}, got {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    """Return True if a TOML value is of the type of an option."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, parts[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(key.isdecimal() and _fits(value[key], parts[1]) for key in value)
    kind = str if kind is Path else kind
    return type(value) is kind or (kind is float and type(value) is int)
