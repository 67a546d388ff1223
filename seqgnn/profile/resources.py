"""Cost of a run: seconds, peak memory and floating-point operations, with the machine and versions."""

import copy
import ctypes
import gc
import math
import os
import platform
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch_geometric
from torch import nn

import seqgnn

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PROCESSORS = Path("/proc/cpuinfo")


def measurement(start: tuple[float, float] | None = None) -> dict[str, Any]:
    """Return date, machine and versions, and the seconds since `start` = (`perf_counter`, `process_time`)."""
    elapsed = (
        {}
        if start is None
        else {
            "seconds": round(time.perf_counter() - start[0], 3),
            "cpu_seconds": round(time.process_time() - start[1], 3),  # independent of other load on the machine
        }
    )
    return elapsed | {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        **_hardware(),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "seqgnn": seqgnn.__version__,
            "torch": torch.__version__,
            "torch_geometric": torch_geometric.__version__,
        },
    }


def _hardware() -> dict[str, Any]:
    """Return name and number of processors and bytes of memory, as far as the system reports them."""
    hardware: dict[str, Any] = {"cores": os.cpu_count()}
    with suppress(OSError):
        names = [line for line in _PROCESSORS.read_text().splitlines() if line.startswith("model name")]
        hardware |= {"processor": names[0].split(":", 1)[1].strip()} if names else {}
    with suppress(OSError, ValueError, AttributeError):
        hardware["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return hardware


class PeakMemory:
    """Peak memory in bytes since the object was created, beyond what was in use then: of the process, or on a GPU of
    torch's allocator.

    Freed memory is first returned to the system where possible. Libraries that are loaded during a run, and their
    caches, count towards the first run that loads them.

    Example:
        >>> peak = PeakMemory("cpu").read()
        >>> peak is None or peak >= 0
        True
    """

    def __init__(self, device: str | torch.device) -> None:
        self.device = torch.device(device)
        self.bytes_before: int | None
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.bytes_before = torch.cuda.memory_allocated(self.device)
            return
        _release_freed_memory()
        try:
            _CLEAR.write_text("5")  # resets the peak
            self.bytes_before = _bytes("VmRSS")
        except OSError:
            self.bytes_before = None

    def read(self) -> int | None:
        """Return the peak; None where the system reports none, or only that of the process's lifetime."""
        if self.device.type == "cuda":
            peak: int | None = torch.cuda.max_memory_allocated(self.device)
        else:
            peak = _bytes("VmHWM")
        return None if peak is None or self.bytes_before is None else max(0, peak - self.bytes_before)


def _release_freed_memory() -> None:
    """Return freed memory to the system, which glibc does on request only."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _bytes(name: str) -> int | None:
    """Return the value of a line of the process's status file; None if there is none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def flops_per_sample(model: nn.Module, batch: Any) -> float:
    """Return the floating-point operations per sample of matrix products and of sums over edges in one forward pass.

    An addition and a multiplication are two operations, so an edge counts as two per channel. Other elementwise
    operations are not counted. Recurrent layers process ragged sequences padded to the longest, and padding counts.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> task = Palindromes(5)
        >>> batch = task.draw(8, torch.Generator().manual_seed(0))
        >>> flops_per_sample(build("rnn", task, hidden=4), batch) / 2
        264.0
    """
    from torch.utils.flop_counter import FlopCounterMode

    model = copy.deepcopy(model).eval()
    layers: Any = model.modules()
    for layer in layers:
        if getattr(layer, "engine", None) == "auto":
            layer.engine = "reference"  # the counter does not see inside kernels for whole sequences
    aten = torch.ops.aten
    sums = dict.fromkeys((aten.index_add, aten.scatter_add, aten.scatter_add_), _sum_flops)
    with FlopCounterMode(display=False, custom_mapping=sums) as counter, torch.no_grad():
        model(batch)
    return counter.get_total_flops() / batch.num_graphs


def _sum_flops(into: Any, dim: int, index: Any, source: Any, **_: Any) -> int:
    """Return the operations of sums of messages, [E, F]; sums of edge weights, which are degrees, count as none."""
    return 2 * math.prod(source) if len(source) > 1 else 0
