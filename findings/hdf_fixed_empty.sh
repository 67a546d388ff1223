#!/usr/bin/env bash
# Guess: an empty table that pandas wrote to HDF5 in the fixed format, such as a day without readings, is an
#   array without rows for whoever reads the file without pandas.
# What happens: PyTables cannot store an array with a dimension of 0, so pandas writes one of shape (1, 1) that
#   holds no value of the table (a denormal number, all but 0) and keeps the true shape in a pickled
#   attribute. h5py, and all that build on it, see a row, a sensor and a time that do not exist.
# Versions: pandas 3.1.1, tables 3.11.1, h5py 3.16.0, Python 3.11.
# Output seen:
#   pandas  (0, 3)
#   h5py    block0_values (1, 1) float64, axis1 (1,) float64, block0_values has an attribute "shape" True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 tables==3.11.1 h5py==3.16.0

cat > "$folder/probe.py" <<'PROGRAM'
import sys

import h5py
import pandas

path = f"{sys.argv[1]}/day.h5"
index = pandas.DatetimeIndex([], name="time")
pandas.DataFrame({"a": [], "b": [], "c": []}, index=index, dtype=float).to_hdf(path, key="speed", format="fixed")
shape = pandas.read_hdf(path).shape
with h5py.File(path) as file:
    values, times = file["speed/block0_values"], file["speed/axis1"]
    seen = values.shape, times.shape
    print("pandas ", shape)
    print(f"h5py    block0_values {values.shape} {values.dtype}, axis1 {times.shape} {times.dtype}, block0_values has "
          f'an attribute "shape" {"shape" in values.attrs}')
    assert "shape" in values.attrs
assert shape == (0, 3) and seen == ((1, 1), (1,)), (shape, seen)
PROGRAM
"$folder/venv/bin/python" -W ignore "$folder/probe.py" "$folder"
