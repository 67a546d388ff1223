"""The compiled library: its functions and structures, by ctypes, and the reason where it cannot be used."""

import ctypes
import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

FOLDER = Path(__file__).parent
VERSION = 4  # of the structures of a call, equal to seqgnn_version()
LARGE = 2**22  # bytes of a tensor for which large pages are worthwhile
MAX_TERMS, MAX_INDEX = 32, 2**31 - 1  # of a filter; of nodes and entries of an operator

Pointer = ctypes.c_void_p
int32, int64 = ctypes.c_int32, ctypes.c_int64


def _fields(*groups: tuple[Any, str]) -> list[tuple[str, Any]]:
    return [(name, kind) for kind, names in groups for name in names.split()]


class OperatorStruct(ctypes.Structure):
    _fields_ = _fields(
        (Pointer, "pointers columns back_pointers back_columns values back_values dense back_dense gradient")
    )


class HopStruct(ctypes.Structure):
    _fields_ = _fields((int32, "operator source minus"), (ctypes.c_double, "scale"))


class ProjectionStruct(ctypes.Structure):
    _fields_ = _fields(
        (Pointer, "weight bias weight_gradient bias_gradient hops operators"),
        (int32, "num_hops num_operators keeps_input channels per_step needs_gradient"),
    )


class CallStruct(ctypes.Structure):
    _fields_ = [
        *_fields(
            (int64, "steps windows nodes rows hidden"),
            (int32, "cell reverse zero_state threads num_projections num_operators"),
            (Pointer, "projections operators x pre active"),
        ),
        ("peepholes", Pointer * 3),
        ("first", Pointer * 2),
        ("output", Pointer),
        ("states", Pointer * 2),
        *_fields((Pointer, "gates workspace output_gradient")),
        ("last_gradient", Pointer * 2),
        *_fields((Pointer, "x_gradient pre_gradient")),
        ("peephole_gradient", Pointer * 3),
        ("first_gradient", Pointer * 2),
    ]


@functools.cache
def load() -> tuple[Any, str]:
    """Return the library, or None and why it cannot be used."""
    if os.environ.get("SEQGNN_CPP") == "0":
        return None, "SEQGNN_CPP=0 switches it off"
    files = sorted(FOLDER.glob("_kernels*"))
    if not files:
        return None, "it was not built: the installation found no C++17 compiler"
    try:
        library = ctypes.CDLL(str(files[0]))
        version = library.seqgnn_version()
        if version != VERSION:
            return None, f"expected version {VERSION} of {files[0].name}, got {version}; install seqgnn again"
        library.seqgnn_instruction_set.restype = ctypes.c_char_p
        library.seqgnn_saved_bytes.restype = library.seqgnn_workspace_bytes.restype = int64
        library.seqgnn_run.restype = library.seqgnn_advise.restype = None
        library.seqgnn_advise.argtypes = [Pointer, int64]
        library.seqgnn_minimal.restype = None
    except (OSError, AttributeError) as error:
        return None, f"{files[0].name} cannot be loaded ({error})"
    return library, ""


def use_instruction_set(name: str) -> bool:
    """Use another instruction set, ``"portable"``, ``"avx2"`` or ``"avx512"``, in this process; False if this processor
    does not have it."""
    return bool(load()[0].seqgnn_use_instruction_set(name.encode()))


def instruction_set() -> str:
    """Return the instruction set in use: the best that this processor has."""
    return load()[0].seqgnn_instruction_set().decode()


def can_read(tensors: Iterable[Tensor | None], like: Tensor) -> bool:
    """Return True if all tensors have their values where `data_ptr` says, on the CPU, in the dtype of another one."""
    return all(
        part is None or (type(part) in (Tensor, Parameter) and part.dtype == like.dtype and part.is_cpu)
        for part in tensors
    )


def address(structs: Any) -> int:
    """Return the address of an array of structures, which the caller has to keep."""
    return ctypes.addressof(structs)


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a new tensor on the CPU, in large pages where the system has them."""
    tensor = torch.empty(shape, dtype=dtype, device="cpu")
    if tensor.nbytes >= LARGE:
        load()[0].seqgnn_advise(tensor.data_ptr(), tensor.nbytes)
    return tensor
