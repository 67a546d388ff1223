"""Where the compiled library cannot be used, another engine computes the same, and `load` says why."""

import shutil
import subprocess
import sys

import pytest
import torch

from seqgnn import nn as sg
from seqgnn.nn.scan.cpp import library
from tests.support.oracles import close


@pytest.fixture
def loaded_anew(monkeypatch):
    """Load the library again in this test, and afterwards."""
    monkeypatch.delenv("SEQGNN_CPP", raising=False)
    library.load.cache_clear()
    yield monkeypatch
    library.load.cache_clear()


def test_load_switched_off_is_none_with_reason(loaded_anew):
    loaded_anew.setenv("SEQGNN_CPP", "0")
    assert library.load() == (None, "SEQGNN_CPP=0 switches it off")


def test_load_not_built_is_none_with_reason(loaded_anew, tmp_path):
    loaded_anew.setattr(library, "FOLDER", tmp_path)
    compiled, reason = library.load()
    assert compiled is None and "no C++17 compiler" in reason


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF" + bytes(200)])
def test_load_broken_file_is_none_with_reason(loaded_anew, tmp_path, content):
    (tmp_path / "_kernels.so").write_bytes(content)
    loaded_anew.setattr(library, "FOLDER", tmp_path)
    compiled, reason = library.load()
    assert compiled is None and reason.startswith("_kernels.so cannot be loaded (")


def test_load_foreign_library_is_none_with_reason(loaded_anew, tmp_path):
    shutil.copy(torch._C.__file__, tmp_path / "_kernels.so")
    loaded_anew.setattr(library, "FOLDER", tmp_path)
    compiled, reason = library.load()
    assert compiled is None and reason.startswith("_kernels.so cannot be loaded (")


@pytest.mark.skipif(library.load()[0] is None, reason="no compiled library")
def test_load_other_version_is_none_with_reason(loaded_anew):
    loaded_anew.setattr(library, "VERSION", -1)
    compiled, reason = library.load()
    assert compiled is None and reason.endswith("install seqgnn again")


def test_layer_without_library_uses_another_engine(loaded_anew):
    layer, x, edges = sg.GCNLSTM(2, 3, engine="cpp"), torch.randn(4, 5, 2), torch.tensor([[0, 1], [1, 2]])
    expected = layer(x, edges)[0]
    library.load.cache_clear()
    loaded_anew.setenv("SEQGNN_CPP", "0")
    close(layer(x, edges)[0], expected, 1e-6)
    assert library.load()[0] is None


def test_import_of_layers_does_not_load_the_library():
    program = "import sys, seqgnn.nn; from seqgnn.nn.scan.cpp import library; print(library.load.cache_info().misses)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "0\n"
