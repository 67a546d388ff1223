"""The words of the field: phrases that are never right in code, tests and documentation."""

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ROOMS = ("seqgnn", "tests", "docs", "examples", "benchmarks", "datasets")
PHRASES = (
    "way back",
    "way there",
    "there and back",
    "gone again",
    r"hears?\b",
    r"hear\b",
    "heard of",
    "afresh",
    r"anew\b",
    "derivatives by",
    "of one's own",
    "goes on from",
    "go on from",
    r"nobody\b",
    r"recurrent nets?\b",
    "contenders?",
    r"learnt\b",
    "level with best",
    "in silence",
    r"beside\b",
    "(to|at) the bar",
    "(told|tell|telling) apart",
    "(tell|told) them apart",
    "stands? apart",
    r"at hand\b",
    r"whoever\b",
    r"what came\b",
    r"a (line|panel|row) a (seed|step|value|node|model|length|sensor)",
    r"one a (step|day|node|seed)",
    r"a step back\b",
    r"seconds an epoch",
    r"last element\b",
    "rather too",
    "other way round",
    r"turned? round\b",
    "made again",
    "makes? it again",
    "looks? at validation",
    "alternating turns",
    r"go on\b",
    r"on (its|their) way\b",
    "goes on (when|from|on)",
    "left alone",
    "leave alone",
    "(in the place|for want) of",
    r"(hidden|input|gate) maps?\b",
    "all else alike",
    "passed over",
    "anyone's",
    "telephone",
    r"peers?\b",
    r"heard\b",
    r"(a|an|the|no|graph) nets?\b",
    "rounds of message",
    r"to the bit\b",
    "what is asked",
    "is asked for",
    "made here",
    "computed by us",
    "of (your|our|his) own",
)
SPELLINGS = (
    "neighbour",
    r"colours?\b",
    "catalogue",
    "normalis",
    "initialis",
    "optimis",
    "vectoris",
    "regularis",
    "behaviour",
    r"grey\b",
    r"centre\b",
    "licence",
    "analyse",
)


def pages() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    for room in ROOMS:
        files = (ROOT / room).rglob("*")
        found += [file for file in files if file.suffix in (".py", ".md", ".html", ".js") and not skipped(file)]
    return found


def skipped(file: Path) -> bool:
    generated = file.relative_to(ROOT).parts[:2] == ("benchmarks", "results")
    return generated or file.name == Path(__file__).name


@pytest.mark.parametrize("pattern", [*PHRASES, *SPELLINGS])
def test_phrase_does_not_occur(pattern):
    word = re.compile(rf"(?<![\w/#-]){pattern}", re.IGNORECASE)
    lines = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in pages()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if word.search(line)
    ]
    assert lines == []


def test_pages_include_every_folder():
    names = {file.relative_to(ROOT).parts[0] for file in pages()}
    assert names >= {*ROOMS, "README.md"}
