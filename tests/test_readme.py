"""Every line of Python in the README and in docs/ runs, and says what the comment behind it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL), start=1)
]


def test_readme_has_code_for_the_three_uses_and_for_text():
    assert sum(block.id.startswith("README") for block in BLOCKS) == 4 and len(BLOCKS) > 8


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("https://") or (page.parent / link).exists(), (page.name, link)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_block(block, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", block]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    promised = re.findall(
        r"^.*print\(.*\).*#\s*(torch\.Size.*|tensor\(\w+\)|True \d+|True|\d+)", block, flags=re.MULTILINE
    )
    for line in promised:
        assert line in done.stdout, (line, done.stdout)
