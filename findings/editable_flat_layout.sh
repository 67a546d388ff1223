#!/usr/bin/env bash
# Guess: after `pip install -e ./gadget` a script next to that folder imports the package of the same
#   name within it (gadget/gadget): an installed package comes before a folder without __init__.py.
# What happens: the script silently imports the project folder as an empty namespace package. For a flat
#   layout setuptools installs no path but an import hook, which is last on sys.meta_path; Python's
#   finder of paths comes first, sees the folder in the script's own directory (sys.path[0]), and
#   answers with a namespace. Writing out package-dir = {"" = "."}, which means the same layout, makes
#   setuptools install a path instead. Then both are on sys.path, and a package with __init__.py beats
#   a namespace, wherever on the path it is.
# Versions: setuptools 77.0.3 and 84.2.1, Python 3.11.
# Output seen:
#   setuptools 77.0.3, default       : hook True, gadget has VALUE False, __file__ None
#   setuptools 77.0.3, package-dir   : hook False, gadget has VALUE True, __file__ gadget/gadget/__init__.py
#   setuptools 84.2.1, default       : hook True, gadget has VALUE False, __file__ None
#   setuptools 84.2.1, package-dir   : hook False, gadget has VALUE True, __file__ gadget/gadget/__init__.py
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/projects/gadget/gadget"
echo "VALUE = 1" > "$folder/projects/gadget/gadget/__init__.py"

cat > "$folder/projects/script.py" <<'PROGRAM'
import os
import sys

import gadget

layout, version = sys.argv[1:]
hook = any("editable" in getattr(finder, "__module__", "") for finder in sys.meta_path)
path = gadget.__file__ and os.path.relpath(gadget.__file__, os.path.dirname(os.path.abspath(__file__)))
print(f"setuptools {version}, {layout:14}: hook {hook}, gadget has VALUE {hasattr(gadget, 'VALUE')}, __file__ {path}")
assert hook == (layout == "default")
assert hasattr(gadget, "VALUE") == (layout == "package-dir")
PROGRAM

for version in 77.0.3 84.2.1; do
    for layout in default package-dir; do
        {
            printf '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            printf '[project]\nname = "gadget"\nversion = "1.0"\n[tool.setuptools]\npackages = ["gadget"]\n'
            if [ "$layout" = package-dir ]; then echo 'package-dir = {"" = "."}'; fi
        } > "$folder/projects/gadget/pyproject.toml"
        environment=$folder/$version-$layout
        "${PYTHON:-python3}" -m venv "$environment"
        "$environment/bin/pip" install --quiet "setuptools==$version"
        "$environment/bin/pip" install --quiet --no-build-isolation --editable "$folder/projects/gadget"
        "$environment/bin/python" "$folder/projects/script.py" "$layout" "$version"
    done
done
