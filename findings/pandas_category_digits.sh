#!/usr/bin/env bash
# Guess: read_csv(dtype={"id": "category"}) keeps a sensor's id as the file has it, like dtype=str but in
#   less memory. The user guide (IO tools, categorical dtype) promises text for every such column.
# What happens: categories of digits become integers, in all three engines, so ids "007" and "07" are one
#   sensor; as soon as one id has a letter, all are text again, and the two are different.
# Versions: pandas 3.1.1, pyarrow 26.0.1, Python 3.11.
# Output seen:
#   str        ["007", "07", "008"]
#   category c        [7, 8]
#   category python   [7, 8]
#   category pyarrow  [7, 8]
#   category, one id with a letter  ["007", "07", "a8"]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 pyarrow==26.0.1

cat > "$folder/probe.py" <<'PROGRAM'
import io
import json

import pandas

digits = "id,speed\n007,61.5\n07,58.0\n008,60.0\n"
letter = digits.replace("008", "a8")


def ids(text, dtype, engine="c"):
    column = pandas.read_csv(io.StringIO(text), dtype={"id": dtype}, engine=engine)["id"]
    return column.unique().tolist()


print("pandas", pandas.__version__)
as_text = ids(digits, str)
print(f"str        {json.dumps(as_text)}")
assert as_text == ["007", "07", "008"]
for engine in ("c", "python", "pyarrow"):
    seen = ids(digits, "category", engine)
    print(f"category {engine:8} {json.dumps(seen)}")
    assert seen == [7, 8], seen
seen = ids(letter, "category")
print(f"category, one id with a letter  {json.dumps(seen)}")
assert seen == ["007", "07", "a8"], seen
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
