r"""The kernels of :mod:`seqgnn.nn.triton_loop`: a block of rows from step to step, there and back.

Signals and states are `[..., rows, H]`, gates `[gates, steps, rows, H]`; `apart` is how many rows lie between the first
ones of two programs, `between` how many between two rows of a program. Pre-activations are x_0, x_1, ... in the order
of :mod:`seqgnn.nn.fused_cells`: i, f, g, o of an LSTM, n, r, z, u_n of a GRU.
"""

import triton
import triton.language as tl

from seqgnn.nn.triton_kernels import gru, gru_back, lstm, lstm_back, rnn, rnn_back

NUMBERS = ["steps", "rows", "nodes", "apart", "between"]


@triton.jit
def _block(rows, nodes, apart, between, hidden, ROWS: tl.constexpr, UNITS: tl.constexpr):
    """The nodes, units and rows of a program, which rows and numbers there are, and where."""
    node, unit = tl.arange(0, ROWS), tl.arange(0, UNITS)
    row = tl.program_id(0) * apart + node * between
    here = (node < nodes) & (row < rows)
    inside = here[:, None] & (unit < hidden)[None, :]
    return node, unit, row, here, inside, row[:, None] * hidden + unit[None, :]


@triton.jit
def _peephole(weight, unit, hidden):
    return tl.load(weight + unit, unit < hidden, 0.0)[None, :]


@triton.jit
def _matrix(start, down, across, at, size):
    """A block [at, at] of a square matrix, zero beyond its size."""
    inside = (at[:, None] < size) & (at[None, :] < size)
    return tl.load(start + at[:, None] * down + at[None, :] * across, inside, 0.0)


@triton.jit
def _product(x, y, total, PRECISION: tl.constexpr):
    return tl.dot(x, y, acc=total, input_precision=PRECISION, out_dtype=total.dtype)


@triton.jit(do_not_specialize=NUMBERS)
def walk_there(
    a, h_all, c_all, signals, matrices, weight, w_ci, w_cf, w_co, active,
    steps, rows, nodes, apart, between, hidden,
    KIND: tl.constexpr, PEEPHOLES: tl.constexpr, OWN: tl.constexpr, HOPS: tl.constexpr, REVERSE: tl.constexpr,
    ACTIVE: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    node, unit, row, here, inside, at = _block(rows, nodes, apart, between, hidden, ROWS, UNITS)
    step = rows.to(tl.int64) * hidden
    gate, channels = steps * step, (OWN + HOPS) * hidden
    block = hidden * channels
    p_i, p_f, p_o = _peephole(w_ci, unit, hidden), _peephole(w_cf, unit, hidden), _peephole(w_co, unit, hidden)
    start = steps * REVERSE * step
    h = tl.load(h_all + start + at, inside, 0.0)
    c = tl.load(c_all + start + at, inside, 0.0)
    for s in range(steps):
        place = REVERSE * (steps - 1 - s) + (1 - REVERSE) * s
        x = a + place * step + at
        x_0 = tl.load(x, inside, 0.0)
        x_1, x_2, x_3 = x_0, x_0, x_0
        if KIND == "lstm" or KIND == "gru":
            x_1, x_2 = tl.load(x + gate, inside, 0.0), tl.load(x + 2 * gate, inside, 0.0)
            x_3 = tl.load(x + 3 * gate, inside, 0.0)
        for k in tl.static_range(OWN + HOPS):
            z = h
            if k >= OWN:
                operator = _matrix(matrices + (k - OWN) * nodes * nodes, nodes, 1, node, nodes)
                z = tl.dot(operator, h, input_precision=PRECISION, out_dtype=h.dtype)
                tl.store(signals + (k - OWN) * gate + place * step + at, z, inside)
            w = weight + k * hidden
            if KIND == "gru":
                x_1 = _product(z, _matrix(w, 1, channels, unit, hidden), x_1, PRECISION)
                x_2 = _product(z, _matrix(w + block, 1, channels, unit, hidden), x_2, PRECISION)
                x_3 = _product(z, _matrix(w + 2 * block, 1, channels, unit, hidden), x_3, PRECISION)
            else:
                x_0 = _product(z, _matrix(w, 1, channels, unit, hidden), x_0, PRECISION)
            if KIND == "lstm":
                x_1 = _product(z, _matrix(w + block, 1, channels, unit, hidden), x_1, PRECISION)
                x_2 = _product(z, _matrix(w + 2 * block, 1, channels, unit, hidden), x_2, PRECISION)
                x_3 = _product(z, _matrix(w + 3 * block, 1, channels, unit, hidden), x_3, PRECISION)
        c_new = c
        if KIND == "lstm":
            x_0, x_1, x_2, x_3, h_new, c_new = lstm(x_0, x_1, x_2, x_3, c, p_i, p_f, p_o, PEEPHOLES)
            tl.store(x, x_0, inside)
        elif KIND == "gru":
            x_0, x_1, x_2, h_new = gru(x_0, x_1, x_2, x_3, h)
            tl.store(x, x_0, inside)
        else:
            h_new = rnn(x_0, KIND == "relu")
        if KIND == "lstm" or KIND == "gru":
            tl.store(x + gate, x_1, inside)
            tl.store(x + 2 * gate, x_2, inside)
            tl.store(x + 3 * gate, x_3, inside)
        if ACTIVE:
            on = tl.load(active + place.to(tl.int64) * rows + row, here, 0)[:, None] != 0
            h_new, c_new = tl.where(on, h_new, h), tl.where(on, c_new, c)
        h, c = h_new, c_new
        after = (place + 1 - REVERSE) * step + at
        tl.store(h_all + after, h, inside)
        if KIND == "lstm":
            tl.store(c_all + after, c, inside)


@triton.jit(do_not_specialize=NUMBERS)
def walk_back(
    a, da, h_all, c_all, dh_last, dc_last, doutput, matrices, weight, w_ci, w_cf, w_co, active,
    steps, rows, nodes, apart, between, hidden, OUTPUT: tl.constexpr,
    KIND: tl.constexpr, PEEPHOLES: tl.constexpr, OWN: tl.constexpr, HOPS: tl.constexpr, REVERSE: tl.constexpr,
    ACTIVE: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    node, unit, row, here, inside, at = _block(rows, nodes, apart, between, hidden, ROWS, UNITS)
    step = rows.to(tl.int64) * hidden
    gate, channels = steps * step, (OWN + HOPS) * hidden
    block = hidden * channels
    p_i, p_f, p_o = _peephole(w_ci, unit, hidden), _peephole(w_cf, unit, hidden), _peephole(w_co, unit, hidden)
    dh = tl.load(dh_last + at, inside, 0.0)
    dc = tl.load(dc_last + at, inside, 0.0)
    for s in range(steps):
        place = REVERSE * s + (1 - REVERSE) * (steps - 1 - s)
        now = place * step + at
        if OUTPUT:
            dh += tl.load(doutput + now, inside, 0.0)
        h_passed, c_passed = dh, dc
        if ACTIVE:
            on = tl.load(active + place.to(tl.int64) * rows + row, here, 0)[:, None] != 0
            h_passed, c_passed = tl.where(on, 0.0, dh), tl.where(on, 0.0, dc)
            dh, dc = tl.where(on, dh, 0.0), tl.where(on, dc, 0.0)
        before, after = now + REVERSE * step, now + (1 - REVERSE) * step
        dx = da + now
        if KIND == "lstm" or KIND == "gru":
            x_0, x_1 = tl.load(a + now, inside, 0.0), tl.load(a + now + gate, inside, 0.0)
            x_2, x_3 = tl.load(a + now + 2 * gate, inside, 0.0), tl.load(a + now + 3 * gate, inside, 0.0)
        if KIND == "lstm":
            c, c_new = tl.load(c_all + before, inside, 0.0), tl.load(c_all + after, inside, 0.0)
            d_0, d_1, d_2, d_3, dc = lstm_back(dh, dc, x_0, x_1, x_2, x_3, c, c_new, p_i, p_f, p_o, PEEPHOLES)
            dh = tl.full((ROWS, UNITS), 0.0, dc.dtype)
        elif KIND == "gru":
            h = tl.load(h_all + before, inside, 0.0)
            d_0, d_1, d_2, d_3, dh = gru_back(dh, x_0, x_1, x_2, x_3, h)
        else:
            d_0 = rnn_back(dh, tl.load(h_all + after, inside, 0.0), KIND == "relu")
            dh = tl.full((ROWS, UNITS), 0.0, d_0.dtype)
        tl.store(dx, d_0, inside)
        if KIND == "lstm" or KIND == "gru":
            tl.store(dx + gate, d_1, inside)
            tl.store(dx + 2 * gate, d_2, inside)
            tl.store(dx + 3 * gate, d_3, inside)
        for k in tl.static_range(OWN + HOPS):
            w = weight + k * hidden
            dz = tl.full((ROWS, UNITS), 0.0, dh.dtype)
            if KIND == "gru":
                dz = _product(d_1, _matrix(w, channels, 1, unit, hidden), dz, PRECISION)
                dz = _product(d_2, _matrix(w + block, channels, 1, unit, hidden), dz, PRECISION)
                dz = _product(d_3, _matrix(w + 2 * block, channels, 1, unit, hidden), dz, PRECISION)
            else:
                dz = _product(d_0, _matrix(w, channels, 1, unit, hidden), dz, PRECISION)
            if KIND == "lstm":
                dz = _product(d_1, _matrix(w + block, channels, 1, unit, hidden), dz, PRECISION)
                dz = _product(d_2, _matrix(w + 2 * block, channels, 1, unit, hidden), dz, PRECISION)
                dz = _product(d_3, _matrix(w + 3 * block, channels, 1, unit, hidden), dz, PRECISION)
            if k < OWN:
                dh += dz
            else:
                transposed = _matrix(matrices + (k - OWN) * nodes * nodes, 1, nodes, node, nodes)
                dh = _product(transposed, dz, dh, PRECISION)
        if ACTIVE:
            dh += h_passed
            dc += c_passed
    tl.store(dh_last + at, dh, inside)
    if KIND == "lstm":
        tl.store(dc_last + at, dc, inside)
