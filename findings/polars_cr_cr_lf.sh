#!/usr/bin/env bash
# Guess: the published PEMS03_distance.csv, whose lines end in CR CR LF, is read alike by all table readers, or
#   refused.
# What happens: pandas, pyarrow and numpy read numbers; Python's csv module returns an empty row after each
#   line; polars calls the last column "distance\r" and reads it as text, without a warning.
# Versions: polars 2.1.0, pandas 3.1.1, pyarrow 26.0.1, numpy 2.4.6, Python 3.11.
# Output seen (a header and two lines with these line ends):
#   pandas   ["from", "to", "distance"] float64
#   pyarrow  ["from", "to", "distance"] double
#   numpy    (2, 3)
#   csv      row lengths [3, 0, 3, 0, 3, 0]
#   polars   ["from", "to", "distance\r"] String
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6

cat > "$folder/probe.py" <<'PROGRAM'
import csv
import json
import sys

import numpy as np
import pandas
import polars
import pyarrow.csv

path = f"{sys.argv[1]}/distance.csv"
with open(path, "wb") as file:
    file.write(b"from,to,distance\r\r\n313344,313349,0.67\r\r\n313349,313438,1.02\r\r\n")
by_pandas, by_arrow, by_polars = pandas.read_csv(path), pyarrow.csv.read_csv(path), polars.read_csv(path)
by_numpy = np.loadtxt(path, delimiter=",", skiprows=1)
with open(path, newline="") as file:
    lengths = [len(row) for row in csv.reader(file)]
seen = [
    (by_pandas.columns.tolist(), str(by_pandas.dtypes.iloc[-1])),
    (by_arrow.column_names, str(by_arrow.schema[-1].type)),
    (by_polars.columns, str(by_polars.dtypes[-1])),
]
print("pandas  ", json.dumps(seen[0][0]), seen[0][1])
print("pyarrow ", json.dumps(seen[1][0]), seen[1][1])
print("numpy   ", by_numpy.shape)
print("csv      row lengths", lengths)
print("polars  ", json.dumps(seen[2][0]), seen[2][1])
names = ["from", "to", "distance"]
assert seen == [(names, "float64"), (names, "double"), ([*names[:2], "distance\r"], "String")]
assert by_numpy.shape == (2, 3) and lengths == [3, 0, 3, 0, 3, 0]
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py" "$folder"
