"""Every line of Python in the README and in docs/ runs, and says what the comment behind it promises."""

import os
import re
import subprocess
import sys

import pytest
import torch

from tests.support import pages
from tests.support.paths import ROOT

README, DOCS = ROOT / "README.md", sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS]
BLOCKS = pages.blocks(README.read_text(), "")
DOCS_BLOCKS = [
    pytest.param(pages.setup(page.read_text()) + block, id=f"{page.stem}-{number}")
    for page in DOCS
    for number, block in enumerate(pages.blocks(page.read_text(), ""), start=1)
]


def test_readme_and_docs_have_enough_code_blocks():
    assert len(BLOCKS) == 4 and len(DOCS_BLOCKS) > 9


def test_readme_and_docs_links_exist():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("https://") or (page.parent / link).exists(), (page.name, link)


def test_contributing_places_exist():
    places = re.findall(r"`((?:seqgnn|tests|benchmarks|datasets)/[\w/.]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(places) > 20 and [place for place in places if not (ROOT / place).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_readme_block_runs_and_prints_what_it_promises(block, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", block]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    pages.check_promises(block, done.stdout)


@pytest.mark.filterwarnings("ignore:.*quantiz")  # torch deprecates its quantization
@pytest.mark.parametrize("block", DOCS_BLOCKS)
def test_docs_block_runs_and_prints_what_it_promises(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    dtype = torch.get_default_dtype()  # a page may set another
    try:
        exec(block, {"__name__": "__main__"})
    finally:
        torch.set_default_dtype(dtype)
    pages.check_promises(block, capsys.readouterr().out)
