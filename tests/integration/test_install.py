"""The package as it is built and installed: what a wheel and a source distribution hold, and who imports a checkout."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytest.importorskip("setuptools", "77.0.3")
GENERATED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "results", "runs", "downloads")
DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # those that are not imported by their names


def build(kind: str, checkout: Path, folder: Path) -> Path:
    """What pip and build make through the hook of setuptools: a "wheel", an "editable" wheel or an "sdist"."""
    folder.mkdir()
    code = f"from setuptools.build_meta import build_{kind}; build_{kind}({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deprecat" not in done.stderr.lower(), done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy in a folder `seqgnn`, as a clone makes it, so that nothing is built in this one."""
    folder = tmp_path_factory.mktemp("projects") / "seqgnn"
    shutil.copytree(ROOT, folder, ignore=GENERATED)
    (folder / "runs").mkdir()
    return folder


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    return build("wheel", checkout, tmp_path_factory.mktemp("built") / "wheel")


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


COMPILED = "seqgnn/nn/scan/cpp/_kernels.so"  # built where there is a compiler


def requirements(metadata: Message) -> set[str]:
    """The names of all distributions that are required, by the library or by an extra."""
    return {re.match(r"[\w.-]+", line).group().lower() for line in metadata.get_all("Requires-Dist")}


def test_editable_install_next_to_checkout_imports_package(checkout, tmp_path):
    venv.create(tmp_path / "env", with_pip=False, symlinks=os.name != "nt")
    python = next((tmp_path / "env").glob("[bS]*/python*"))
    (packages,) = (tmp_path / "env").rglob("site-packages")
    with zipfile.ZipFile(build("editable", checkout, tmp_path / "built")) as archive:
        archive.extractall(packages)
    script = checkout.parent / "mine.py"
    script.write_text("import seqgnn\nprint(seqgnn.__file__)\n")
    for cwd in ("/", checkout.parent):
        done = subprocess.run([python, "-EB", script], cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()) == checkout / "seqgnn" / "__init__.py"


def test_wheel_contains_only_the_package(checkout, wheel, metadata):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {path.relative_to(checkout).as_posix() for path in (checkout / "seqgnn").rglob("*") if path.is_file()}
    sources = {file for file in files if file.startswith("seqgnn/nn/scan/cpp/kernels/")}
    assert {name for name in names if ".dist-info/" not in name} - {COMPILED} == files - sources - {COMPILED}
    assert COMPILED in names or shutil.which("c++") is None
    assert {"seqgnn/py.typed", "seqgnn/report/html/templates/page.html"} <= names
    assert metadata["License-Expression"] == "MIT" and metadata["Author"] == "seqgnn contributors"
    assert metadata["Description-Content-Type"] == "text/markdown" and metadata.get_payload().startswith("# seqgnn\n")
    assert not {"Author-email", "Home-page", "Project-URL"} & set(metadata)


def test_sdist_contains_what_its_tests_read(checkout, tmp_path):
    with tarfile.open(build("sdist", checkout, tmp_path / "built")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = ["seqgnn", "tests", "examples", "benchmarks", "datasets", "docs"]
    files = {path for folder in folders for path in (checkout / folder).rglob("*") if path.is_file()}
    files |= {path for path in checkout.iterdir() if path.is_file()}
    files.discard(checkout / COMPILED)
    assert {path.relative_to(checkout).as_posix() for path in files} <= names


def third_party(*places: str) -> set[str]:
    """Top-level modules imported anywhere in Python files, without the standard library and the files themselves. By
    their lines: to parse them all takes ten times as long."""
    files = [file for place in places for file in (ROOT / place).rglob("*.py")]
    statement = re.compile(r"^ *(?:from (\w+)[\w.]* import |import (\w+)[\w.]*(?: as \w+)?(?:  #.*)?$)", re.MULTILINE)
    found = [match for file in files for match in statement.finditer(file.read_text(encoding="utf-8"))]
    return {match[1] or match[2] for match in found} - sys.stdlib_module_names - {file.stem for file in files}


def test_requirements_declare_every_imported_package(metadata):
    imported = third_party("seqgnn", "benchmarks", "examples", "tests") - {"seqgnn", "tests"}
    named = {DISTRIBUTIONS.get(module, module.replace("_", "-")) for module in imported}
    assert {"torch", "torch-geometric", "scikit-learn", "filelock"} <= named
    assert named - requirements(metadata) == set()


def test_requirements_have_a_minimum_version_and_a_pin(metadata):
    for line in metadata.get_all("Requires-Dist"):
        assert re.match(r"[\w.-]+>=[\d.]+(;|$)", line), line
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    assert requirements(metadata) - pinned == set()
