"""The package as a whole: what its import needs, and that it runs from a checkout."""

import subprocess
import sys
from pathlib import Path

import seqgnn
from tests.support.paths import ROOT

OPTIONAL = ["joblib", "matplotlib", "networkx", "pooch", "rich", "scipy", "sklearn", "torch_scatter", "typer"]


def test_import_seqgnn_needs_only_torch_and_pyg():
    code = f"""
import sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {str(ROOT)!r})
for name in {OPTIONAL}:
    sys.modules[name] = None  # importing it is now an ImportError
import seqgnn, seqgnn.nn, seqgnn.data, seqgnn.models.sequence_model, seqgnn.training.loop, seqgnn.analysis
assert not [name for name in sys.modules if name.startswith("seqgnn") and "triton" in name]
print(seqgnn.__file__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == ROOT / "seqgnn" / "__init__.py"


def test_public_names_are_all_defined():
    for module in (seqgnn.nn, seqgnn.data):
        for name in module.__all__:
            assert getattr(module, name) is not None
    assert f"## {seqgnn.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert (ROOT / "seqgnn" / "py.typed").exists()
