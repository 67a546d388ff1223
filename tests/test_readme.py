"""Every line of Python in the README runs, and says what the comment behind it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def test_readme_has_code_for_the_three_uses_and_for_text():
    assert len(BLOCKS) == 4


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=["layers", "benchmark", "text", "toy"])
def test_block(block, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", block]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"^.*print\(.*\).*#\s*(torch\.Size.*|tensor\(\w+\)|True \d+|\d+)", block, flags=re.MULTILINE)
    for line in promised:
        assert line in done.stdout, (line, done.stdout)
