r"""The kernels of :mod:`seqgnn.nn.scan.triton.scan` for the GRU with ``reset="before"``: a projection of h to r and z,
and one of r h to n; :mod:`seqgnn.nn.scan.triton.tiles` describes the layout.

The backward pass recomputes r h; its signals, as those of h, are saved by the forward pass.
"""

import triton
import triton.language as tl

from seqgnn.nn.scan.triton.pointwise import mixture_back, sigmoid, sigmoid_back, tanh
from seqgnn.nn.scan.triton.tiles import NUMBERS, block_of, matrix, product, signal, signal_back


@triton.jit(do_not_specialize=NUMBERS)
def scan_reset_forward(
    a, h_all, signals, signals_n, matrices, weight, weight_n, active,
    steps, rows, nodes, apart, between, hidden,
    OWN: tl.constexpr, HOPS: tl.constexpr, REVERSE: tl.constexpr, ACTIVE: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    node, unit, row, here, inside, at = block_of(rows, nodes, apart, between, hidden, ROWS, UNITS)
    step = rows.to(tl.int64) * hidden
    gate, channels = steps * step, (OWN + HOPS) * hidden
    h = tl.load(h_all + steps * REVERSE * step + at, inside, 0.0)
    for s in range(steps):
        place = REVERSE * (steps - 1 - s) + (1 - REVERSE) * s
        now = place * step + at
        r, z = tl.load(a + now, inside, 0.0), tl.load(a + now + gate, inside, 0.0)
        n = tl.load(a + now + 2 * gate, inside, 0.0)
        for k in tl.static_range(OWN + HOPS):
            y = signal(h, k, signals + now, gate, inside, matrices, node, nodes, OWN, PRECISION)
            w = weight + k * hidden
            r = product(y, matrix(w, 1, channels, unit, hidden), r, PRECISION)
            z = product(y, matrix(w + hidden * channels, 1, channels, unit, hidden), z, PRECISION)
        r, z = sigmoid(r), sigmoid(z)
        for k in tl.static_range(OWN + HOPS):
            y = signal(r * h, k, signals_n + now, gate, inside, matrices, node, nodes, OWN, PRECISION)
            n = product(y, matrix(weight_n + k * hidden, 1, channels, unit, hidden), n, PRECISION)
        n = tanh(n)
        tl.store(a + now, r, inside)
        tl.store(a + now + gate, z, inside)
        tl.store(a + now + 2 * gate, n, inside)
        h_new = n + z * (h - n)
        if ACTIVE:
            on = tl.load(active + place.to(tl.int64) * rows + row, here, 0)[:, None] != 0
            h_new = tl.where(on, h_new, h)
        h = h_new
        tl.store(h_all + now + (1 - REVERSE) * step, h, inside)


@triton.jit(do_not_specialize=NUMBERS)
def scan_reset_backward(
    a, da, h_all, dh_last, doutput, matrices, weight, weight_n, active,
    steps, rows, nodes, apart, between, hidden, OUTPUT: tl.constexpr,
    OWN: tl.constexpr, HOPS: tl.constexpr, REVERSE: tl.constexpr, ACTIVE: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    node, unit, row, here, inside, at = block_of(rows, nodes, apart, between, hidden, ROWS, UNITS)
    step = rows.to(tl.int64) * hidden
    gate, channels = steps * step, (OWN + HOPS) * hidden
    dh = tl.load(dh_last + at, inside, 0.0)
    for s in range(steps):
        place = REVERSE * s + (1 - REVERSE) * (steps - 1 - s)
        now = place * step + at
        if OUTPUT:
            dh += tl.load(doutput + now, inside, 0.0)
        passed = dh
        if ACTIVE:
            on = tl.load(active + place.to(tl.int64) * rows + row, here, 0)[:, None] != 0
            passed, dh = tl.where(on, 0.0, dh), tl.where(on, dh, 0.0)
        h = tl.load(h_all + now + REVERSE * step, inside, 0.0)
        r, z = tl.load(a + now, inside, 0.0), tl.load(a + now + gate, inside, 0.0)
        dn, dz, dh = mixture_back(dh, tl.load(a + now + 2 * gate, inside, 0.0), z, h)
        drh = tl.full((ROWS, UNITS), 0.0, dh.dtype)
        for k in tl.static_range(OWN + HOPS):
            dy = tl.full((ROWS, UNITS), 0.0, dh.dtype)
            dy = product(dn, matrix(weight_n + k * hidden, channels, 1, unit, hidden), dy, PRECISION)
            drh = signal_back(dy, k, drh, matrices, node, nodes, OWN, PRECISION)
        dr = sigmoid_back(drh * h, r)
        dh += drh * r
        tl.store(da + now, dr, inside)
        tl.store(da + now + gate, dz, inside)
        tl.store(da + now + 2 * gate, dn, inside)
        for k in tl.static_range(OWN + HOPS):
            w = weight + k * hidden
            dy = tl.full((ROWS, UNITS), 0.0, dh.dtype)
            dy = product(dr, matrix(w, channels, 1, unit, hidden), dy, PRECISION)
            dy = product(dz, matrix(w + hidden * channels, channels, 1, unit, hidden), dy, PRECISION)
            dh = signal_back(dy, k, dh, matrices, node, nodes, OWN, PRECISION)
        if ACTIVE:
            dh += passed
    tl.store(dh_last + at, dh, inside)
