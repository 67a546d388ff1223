"""Blocks of rows and filter signals, for :mod:`seqgnn.nn.scan.triton.scan_kernels` and
:mod:`seqgnn.nn.scan.triton.gru_kernels`.

Signals and states are `[..., rows, H]`, gates `[gates, steps, rows, H]`; `apart` is the distance in rows between the
first rows of two programs, `between` that between two rows of a program. A filter's basis has OWN signals that are z
itself, and HOPS that are :math:`M_k z`.
"""

import triton
import triton.language as tl

NUMBERS = ["steps", "rows", "nodes", "apart", "between"]


@triton.jit
def block_of(rows, nodes, apart, between, hidden, ROWS: tl.constexpr, UNITS: tl.constexpr):
    """The nodes, units and rows of a program, the masks of rows and elements in range, and their offsets."""
    node, unit = tl.arange(0, ROWS), tl.arange(0, UNITS)
    row = tl.program_id(0) * apart + node * between
    here = (node < nodes) & (row < rows)
    inside = here[:, None] & (unit < hidden)[None, :]
    return node, unit, row, here, inside, row[:, None] * hidden + unit[None, :]


@triton.jit
def peephole(weight, unit, hidden):
    return tl.load(weight + unit, unit < hidden, 0.0)[None, :]


@triton.jit
def matrix(start, down, across, at, size):
    """A block [at, at] of a square matrix, zero beyond its size."""
    inside = (at[:, None] < size) & (at[None, :] < size)
    return tl.load(start + at[:, None] * down + at[None, :] * across, inside, 0.0)


@triton.jit
def product(x, y, total, PRECISION: tl.constexpr):
    return tl.dot(x, y, acc=total, input_precision=PRECISION, out_dtype=total.dtype)


@triton.jit
def signal(
    z, k: tl.constexpr, signals, gate, inside, matrices, node, nodes, OWN: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """The k-th signal of z; saved at `signals`, where those of a step begin, unless it is z itself."""
    y = z
    if k >= OWN:
        operator = matrix(matrices + (k - OWN) * nodes * nodes, nodes, 1, node, nodes)
        y = tl.dot(operator, z, input_precision=PRECISION, out_dtype=z.dtype)
        tl.store(signals + (k - OWN) * gate, y, inside)
    return y


@triton.jit
def signal_back(dy, k: tl.constexpr, dz, matrices, node, nodes, OWN: tl.constexpr, PRECISION: tl.constexpr):
    """Adds the gradient of the k-th signal to that of z."""
    if k < OWN:
        dz += dy
    else:
        transposed = matrix(matrices + (k - OWN) * nodes * nodes, 1, nodes, node, nodes)
        dz = product(transposed, dy, dz, PRECISION)
    return dz
