#!/usr/bin/env bash
# Guess: an HDF5 file of pandas in its "table" format, the one meant for exchange and queries, is read by
#   the next and the previous major version, as the "fixed" format is.
# What happens: pandas 2.2 cannot read any table that pandas 3 wrote, not even numbers under text names
#   (AttributeError: 'NoneType' object has no attribute 'startswith'). pandas 3 cannot read a table of
#   pandas 2 whose index has a named time zone: the zone is a pickled object of pytz, which pandas 3 no
#   longer installs, so PyTables hands over the pickle's bytes (AttributeError: 'numpy.bytes_' object has
#   no attribute 'get'). No error names zone, pytz or version. The fixed format is read both ways.
# Versions: pandas 2.2.3 and 3.1.1, tables 3.11.1, Python 3.11.
# Output seen:
#   pandas 3.1.1 reads   2.2.3 fixed: 08:00-08:00   table: AttributeError   table without zone: 08:00
#   pandas 2.2.3 reads   3.1.1 fixed: 08:00-08:00   table: AttributeError   table without zone: AttributeError
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 2.2.3 3.1.1; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet "pandas==$version" tables==3.11.1
done

cat > "$folder/write.py" <<'PROGRAM'
import sys

import pandas

for name, form, zone in (("fixed", "fixed", "America/Los_Angeles"), ("table", "table", "America/Los_Angeles"),
                         ("naive", "table", None)):
    index = pandas.date_range("2012-03-01 08:00", periods=3, freq="h", tz=zone, name="time")
    frame = pandas.DataFrame({"a": [0.0, 1.0, 2.0], "b": 1.0}, index=index)
    frame.to_hdf(f"{sys.argv[1]}/{pandas.__version__}_{name}.h5", key="speed", format=form)
PROGRAM
cat > "$folder/read.py" <<'PROGRAM'
import sys

import pandas


def first(name):
    try:
        return str(pandas.read_hdf(f"{sys.argv[1]}/{sys.argv[2]}_{name}.h5").index[0])[11:]
    except AttributeError as error:
        print(f"  {name}: {error}")
        return "AttributeError"


seen = [first(name) for name in ("fixed", "table", "naive")]
print(f"pandas {pandas.__version__} reads   {sys.argv[2]} fixed: {seen[0]}   table: {seen[1]}   "
      f"table without zone: {seen[2]}")
assert seen == ["08:00:00-08:00", "AttributeError", "08:00:00" if pandas.__version__[0] == "3" else "AttributeError"]
PROGRAM
for version in 2.2.3 3.1.1; do
    "$folder/$version/bin/python" -W ignore "$folder/write.py" "$folder"
done
"$folder/3.1.1/bin/python" -W ignore "$folder/read.py" "$folder" 2.2.3
"$folder/2.2.3/bin/python" -W ignore "$folder/read.py" "$folder" 3.1.1
