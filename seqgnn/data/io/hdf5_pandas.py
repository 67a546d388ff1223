"""Tables in HDF5 files as pandas writes them through PyTables, read without executing what they pickle."""

from pathlib import Path
from typing import Any

import numpy as np

from seqgnn.data.io.columns import CALLER
from seqgnn.data.io.pickle_stand_ins import Placeholder
from seqgnn.data.io.safe_pickle import read_attribute

ORDINAL_OF_1970 = 719_163
PERIODS = {  # pandas' classes of periods and the code of each; those of other steps of a year carry its first month
    "MonthEnd": "M", "Day": "D", "Hour": "h", "Minute": "min", "Second": "s", "Milli": "ms", "Micro": "us",
    "Nano": "ns", "BusinessDay": "B", "QuarterEnd": "Q", "YearEnd": "Y", "Week": "W",
}  # fmt: skip

KINDS = {  # of axes, as pandas calls them
    *("", "integer", "float", "bool", "string", "unicode", "object"),
    *("date", "datetime", "datetime64", "timedelta64"),
}


def read_fixed(group: Any, path: Path) -> Any:
    """Return a table of pandas' fixed format, or a series, as a table of pandas."""
    import pandas

    if "values" in group and "index" in group:
        values = _values(group["values"], path)
        name = read_attribute(group.attrs.get("name", b"N."))
        return pandas.DataFrame({"0" if name is None else name: values}, index=_axis(group, "index", path))
    columns = _axis(group, "axis0", path)
    index = _axis(group, "axis1", path)
    data: dict[Any, Any] = {}
    for block in range(int(group.attrs.get("nblocks", sum(name.endswith("_values") for name in group)))):
        values = _values(group[f"block{block}_values"], path)
        if not len(index):
            raise ValueError(f"{CALLER}: expected lines of values, got an empty table in {path}")
        data |= dict(zip(_axis(group, f"block{block}_items", path), values.T))
    if len(set(columns)) < len(columns):
        raise ValueError(f"{CALLER}: expected distinct sensors, got a name more than once in {path}")
    if set(data) != set(columns):
        odd = next(iter(set(data) ^ set(columns)))
        raise ValueError(f"{CALLER}: expected the columns of axis0 in the blocks of {path}, got another one, {odd!r}")
    return pandas.DataFrame({i: data[name] for i, name in enumerate(columns)}, index=index).set_axis(columns, axis=1)


def read_table_format(group: Any, path: Path) -> Any:
    """Return a table of pandas' table format as a table of pandas."""
    import pandas

    dataset = group["table"]
    rows, attributes = dataset[:], dataset.attrs
    if not len(rows):
        raise ValueError(f"{CALLER}: expected lines of values, got an empty table in {path}")
    info = read_attribute(group.attrs.get("info", b"N."))
    if info is not None and not isinstance(info, dict):
        raise ValueError(f"{CALLER}: expected pandas' description of the table in {path}, got one that cannot be read")
    info = info or {}
    data: dict[Any, Any] = {}
    index = None
    for field in rows.dtype.names or ():
        kind = attributes.get(f"{field}_kind", b"")
        if field == "index":
            details = info.get("index", {})
            index = _typed(rows[field], _text(kind), details.get("tz"), details.get("freq"), path)
            index = pandas.Index(index, name=details.get("index_name"))
            continue
        names = read_attribute(kind)
        if not isinstance(names, list):
            names, is_typed = [field], True
        else:
            is_typed = rows.dtype[field].shape == ()
        values = rows[field].reshape(len(rows), -1)
        dtype = _text(attributes.get(f"{field}_dtype", b""))
        for name, column in zip(names, values.T):
            data[name] = _typed(column, dtype if is_typed or dtype.startswith("datetime64") else "", None, None, path)
    order = [name for _, names in read_attribute(group.attrs.get("non_index_axes", b"(lp0\n.")) for name in names]
    columns = [name for name in order if name in data] if order else list(data)
    columns += [name for name in data if name not in columns]
    labels = pandas.MultiIndex.from_tuples(columns) if columns and isinstance(columns[0], tuple) else None
    frame = pandas.DataFrame({i: data[name] for i, name in enumerate(columns)}, index=index)
    levels = info.get(1, {}).get("names") if labels is not None else None
    return frame.set_axis(pandas.Index(columns, dtype=object) if labels is None else labels.set_names(levels), axis=1)


def _values(dataset: Any, path: Path) -> Any:
    """Return the numbers or times of a block `[T, columns]`."""
    if dataset.dtype.kind not in "biufc":
        raise ValueError(f"{CALLER}: expected numbers in every column of {path}, got text or pickled objects")
    if "shape" in dataset.attrs:  # that of an empty array, which PyTables cannot store
        return np.empty((0, 0))
    kind = _text(dataset.attrs.get("value_type", b""))
    return dataset[:].astype(f"M8[{_unit(kind)}]") if kind.startswith("datetime64") else dataset[:]


def _axis(group: Any, name: str, path: Path) -> Any:
    """Return an axis as an index of pandas."""
    import pandas

    if f"{name}_level0" in group:
        count = int(group.attrs[f"{name}_nlevels"]) if f"{name}_nlevels" in group.attrs else 0
        count = count or sum(key.startswith(f"{name}_level") for key in group)
        levels = [_axis(group, f"{name}_level{i}", path) for i in range(count)]
        codes = [group[f"{name}_label{i}"][:] for i in range(count)]
        names = [_level_name(group[f"{name}_level{i}"].attrs, name) for i in range(count)]
        return pandas.MultiIndex(levels, codes, names=names)
    dataset = group[name]
    if dataset.dtype.kind == "O":
        raise ValueError(f"{CALLER}: expected numbers under names in {path}, got pickled objects as {name}")
    if "shape" in dataset.attrs:
        return pandas.Index([])
    attributes = dataset.attrs
    zone, frequency = attributes.get("tz"), attributes.get("freq")
    frequency = frequency if frequency is None else read_attribute(frequency)
    kind = _text(attributes.get("kind", b"datetime64" if name == "axis1" else b""))
    if kind.partition("[")[0] not in KINDS:
        expected = "times, numbers or text as pandas writes them"
        raise ValueError(f"{CALLER}: expected {expected} as {name} of {path}, got the kind {kind!r}; store it again")
    values = _typed(
        dataset[:], kind, zone, frequency if _text(attributes.get("index_class", b"")) == "period" else None, path
    )
    return pandas.Index(values, name=read_attribute(attributes.get("name", b"N.")))


def _level_name(attributes: Any, axis: str) -> Any:
    prefix = f"{axis}_name"
    return next((read_attribute(attributes[key]) for key in attributes if key.startswith(prefix)), None)


def _typed(values: np.ndarray, kind: str, zone: Any, frequency: Any, path: Path) -> Any:
    """Return what the numbers or bytes of an axis stand for."""
    import pandas

    if isinstance(frequency, Placeholder) and kind == "integer":
        return _periods(values, frequency, path)
    if kind.startswith("datetime64"):
        times = pandas.DatetimeIndex(values.astype(f"M8[{_unit(kind)}]"))
        return times if zone is None else times.tz_localize("UTC").tz_convert(_zone(zone, path))
    if kind.startswith("timedelta64"):
        return pandas.TimedeltaIndex(values.astype(f"m8[{_unit(kind)}]"))
    if kind == "date":
        return pandas.DatetimeIndex((values.astype(np.int64) - ORDINAL_OF_1970).astype("M8[D]"))
    if kind == "datetime":
        raise ValueError(
            f"{CALLER}: expected times as datetime64 in {path}, got Python datetimes, whose zone the file does not "
            "have; store a DatetimeIndex"
        )
    if values.dtype.kind == "S":
        return np.array([cell.decode("utf-8") for cell in values.tolist()], dtype=object)
    return values


def _periods(values: np.ndarray, frequency: Placeholder, path: Path) -> Any:
    import pandas

    code = PERIODS.get(frequency.name)
    if code is None:
        raise ValueError(f"{CALLER}: expected periods of a known length in {path}, got {frequency.name}")
    count, *rest = (argument for argument in frequency.arguments if not isinstance(argument, bool))
    months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
    if code in ("Q", "Y") and rest:
        code = f"{code}-{months[int(rest[0]) - 1]}"
    if code == "W" and rest and rest[0] is not None:
        code = f"W-{['MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN'][int(rest[0])]}"
    return pandas.PeriodIndex.from_ordinals(values, freq=f"{count}{code}" if count != 1 else code)


def _unit(kind: str) -> str:
    return kind.partition("[")[2].rstrip("]") or "ns"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _zone(value: Any, path: Path) -> Any:
    """Return a zone by name, or a fixed offset; zones of zoneinfo and pytz are pickled in the table format."""
    import datetime

    if isinstance(value, bytes):
        value = read_attribute(value) if value.startswith((b"c", b"\x80")) and b"\n" in value else value.decode()
    if not isinstance(value, Placeholder):
        return value
    names = [argument for argument in value.arguments if isinstance(argument, str)]
    if names:
        return names[0]
    if value.name == "_UTC":
        return "UTC"
    if value.name == "_FixedOffset" and value.arguments:
        return datetime.timezone(datetime.timedelta(minutes=int(value.arguments[0])))
    raise ValueError(f"{CALLER}: expected a time zone with a name in {path}, got {value.name}")
