"""Every example runs to its end, from a checkout, and says what its text promises."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.support.paths import ROOT

SAYS = {
    "six_node_graph.py": "E is in C's receptive field after 3 layers",
    "karate_club.py": "accuracy on the 32 other members",
    "palindrome.py": "chance is 0.100",
    "your_own_model.py": "GCNConv and GCNLSTM      test MSE",
    "generate.py": "held-out loss",
    "chickenpox.py": "GCRN, K = 2, linear skip",
    "bptt_by_hand.py": "verdict: all 9 results by hand agree with autograd",
    "optimizers.py": "verdict: SGD, momentum, RMSprop and Adam agree with torch.optim",
    "parameter_counts.py": "verdict: 13 formulas agree with the modules",
}
DERIVATIONS = {"bptt_by_hand.py", "optimizers.py", "parameter_counts.py"}
FIGURES = {"karate_club.py", "generate.py", "bptt_by_hand.py", "optimizers.py"}


def test_examples_are_all_tested():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(SAYS)


def made_weeks(folder):
    """A file like that of the chickenpox cases, of 80 weeks in six counties."""
    cases = torch.randn(80, 6, generator=torch.Generator().manual_seed(0)).cumsum(0).div(9).tolist()
    path = folder / "chickenpox.json"
    path.write_text(json.dumps({"edges": [[i, (i + 1) % 6] for i in range(6)], "node_ids": {}, "FX": cases}))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_example_script_runs_and_prints_its_result(name, tmp_path):
    script = ROOT / "examples" / name
    assert len(script.read_text().splitlines()) <= (150 if name in DERIVATIONS else 79)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [made_weeks(tmp_path)] if name == "chickenpox.py" else []
    done = subprocess.run(
        [sys.executable, script, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
    if name in FIGURES:
        assert (tmp_path / "results" / name).with_suffix(".png").stat().st_size > 10_000
