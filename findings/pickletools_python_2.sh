#!/usr/bin/env bash
# Guess: pickletools can list the instructions of every pickle that pickle can load.
# What happens: pickle reads the text of Python 2 by `encoding`, as in `encoding="latin1"`, which numpy's documentation
#   recommends for arrays and numbers of Python 2. pickletools has no such argument and decodes that text as ASCII, so
#   that it fails at the first byte of a number above 127.
# Versions: Python 3.11.7, numpy 2.3.5.
# Output seen (the number 0.5 as Python 2.7 with numpy 1.16 pickles it in protocol 0):
#   pickle      0.5
#   pickletools UnicodeDecodeError: 'ascii' codec can't decode byte 0xe0 in position 6: ordinal not in range(128)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.3.5

cat > "$folder/probe.py" <<'PROGRAM'
import pickle
import pickletools

content = (
    b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xe0?'\ntR."
)
number = pickle.loads(content, encoding="latin1")
print("pickle     ", number)
assert number == 0.5
try:
    list(pickletools.genops(content))
    raise SystemExit("pickletools lists it")
except UnicodeDecodeError as error:
    print("pickletools UnicodeDecodeError:", error)
PROGRAM
"$folder/venv/bin/python" -W ignore "$folder/probe.py"
