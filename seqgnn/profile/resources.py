"""What a run costs: seconds, peak memory, floating-point operations, and on which machine with which versions."""

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
    """Date, machine and versions and, of what began at (`perf_counter`, `process_time`), the seconds it took."""
    taken = (
        {}
        if start is None
        else {
            "seconds": round(time.perf_counter() - start[0], 3),
            "cpu_seconds": round(
                time.process_time() - start[1], 3
            ),  # what the run itself took, however busy the machine
        }
    )
    return taken | {
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
    """Name and number of processors, and bytes of memory, as far as the system tells."""
    found: dict[str, Any] = {"cores": os.cpu_count()}
    with suppress(OSError):
        names = [line for line in _PROCESSORS.read_text().splitlines() if line.startswith("model name")]
        found |= {"processor": names[0].split(":", 1)[1].strip()} if names else {}
    with suppress(OSError, ValueError, AttributeError):
        found["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return found


class PeakMemory:
    """The most memory that was in use since this was made, in bytes, beyond what there was before: of the process, or
    on a GPU of torch's.

    What was freed before is given back to the system first, where it can be; libraries that are loaded on the way and
    what they keep count for the first run that does so.

    Example:
        >>> peak = PeakMemory("cpu").read()
        >>> peak is None or peak >= 0
        True
    """

    def __init__(self, device: str | torch.device) -> None:
        self.device = torch.device(device)
        self.before: int | None
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
            return
        _give_back()
        try:
            _CLEAR.write_text("5")  # resets the peak
            self.before = _bytes("VmRSS")
        except OSError:
            self.before = None

    def read(self) -> int | None:
        """None where the system does not tell, or only the peak of the process's whole life."""
        if self.device.type == "cuda":
            peak: int | None = torch.cuda.max_memory_allocated(self.device)
        else:
            peak = _bytes("VmHWM")
        return None if peak is None or self.before is None else max(0, peak - self.before)


def _give_back() -> None:
    """Returns freed memory to the system, as glibc does when asked."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _bytes(name: str) -> int | None:
    """A line of the process's status; None where there is none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def flops_per_sample(model: nn.Module, batch: Any) -> float:
    """Floating-point operations of matrix products and of sums along edges in one forward pass, a sample; an addition
    and a multiplication are two, so that an edge counts as two for each channel. Other elementwise operations are not
    counted. Recurrent layers walk ragged sequences padded to the longest, and that is what is counted.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> task = Palindromes(5)
        >>> batch = task.draw(8, torch.Generator().manual_seed(0))
        >>> flops_per_sample(build("rnn", num_classes=10, num_tokens=10, hidden=4), batch) / 2
        264.0
    """
    from torch.utils.flop_counter import FlopCounterMode

    counted = copy.deepcopy(model).eval()
    layers: Any = counted.modules()
    for layer in layers:
        if getattr(layer, "engine", None) == "auto":
            layer.engine = "reference"  # kernels of whole sequences are not counted
    aten = torch.ops.aten
    sums = dict.fromkeys((aten.index_add, aten.scatter_add, aten.scatter_add_), _sum_flops)
    with FlopCounterMode(display=False, custom_mapping=sums) as counter, torch.no_grad():
        counted(batch)
    return counter.get_total_flops() / batch.num_graphs


def _sum_flops(into: Any, dim: int, index: Any, source: Any, **_: Any) -> int:
    """Of what edges carry, [E, F]; not of their weights, whose sums are degrees."""
    return 2 * math.prod(source) if len(source) > 1 else 0
