r"""The kernels of :mod:`seqgnn.nn.scan.triton.scan`: a block of rows over all steps, forward and backward.

:mod:`seqgnn.nn.scan.triton.tiles` describes the layout. Pre-activations are x_0, x_1, ... in the order of
:mod:`seqgnn.nn.scan.fused.cells`: i, f, g, o of an LSTM, n, r, z, u_n of a GRU.
"""

import triton
import triton.language as tl

from seqgnn.nn.scan.triton.pointwise import gru, gru_back, lstm, lstm_back, rnn, rnn_back
from seqgnn.nn.scan.triton.tiles import NUMBERS, block_of, matrix, peephole, product, signal, signal_back


@triton.jit(do_not_specialize=NUMBERS)
def scan_forward(
    a, h_all, c_all, signals, signals_c, matrices, weight, weight_c, w_ci, w_cf, w_co, active,
    steps, rows, nodes, apart, between, hidden,
    KIND: tl.constexpr, PEEPHOLES: tl.constexpr, PROJECT_C: tl.constexpr, OWN: tl.constexpr, HOPS: tl.constexpr,
    REVERSE: tl.constexpr, ACTIVE: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    node, unit, row, here, inside, at = block_of(rows, nodes, apart, between, hidden, ROWS, UNITS)
    step = rows.to(tl.int64) * hidden
    gate, channels = steps * step, (OWN + HOPS) * hidden
    block = hidden * channels
    p_i, p_f, p_o = peephole(w_ci, unit, hidden), peephole(w_cf, unit, hidden), peephole(w_co, unit, hidden)
    start = steps * REVERSE * step
    h = tl.load(h_all + start + at, inside, 0.0)
    c = tl.load(c_all + start + at, inside, 0.0)
    for s in range(steps):
        place = REVERSE * (steps - 1 - s) + (1 - REVERSE) * s
        now = place * step + at
        x = a + now
        x_0 = tl.load(x, inside, 0.0)
        x_1, x_2, x_3 = x_0, x_0, x_0
        if KIND == "lstm" or KIND == "gru":
            x_1, x_2 = tl.load(x + gate, inside, 0.0), tl.load(x + 2 * gate, inside, 0.0)
            x_3 = tl.load(x + 3 * gate, inside, 0.0)
        for k in tl.static_range(OWN + HOPS):
            z = signal(h, k, signals + now, gate, inside, matrices, node, nodes, OWN, PRECISION)
            w = weight + k * hidden
            if KIND == "gru":
                x_1 = product(z, matrix(w, 1, channels, unit, hidden), x_1, PRECISION)
                x_2 = product(z, matrix(w + block, 1, channels, unit, hidden), x_2, PRECISION)
                x_3 = product(z, matrix(w + 2 * block, 1, channels, unit, hidden), x_3, PRECISION)
            else:
                x_0 = product(z, matrix(w, 1, channels, unit, hidden), x_0, PRECISION)
            if KIND == "lstm":
                x_1 = product(z, matrix(w + block, 1, channels, unit, hidden), x_1, PRECISION)
                x_2 = product(z, matrix(w + 2 * block, 1, channels, unit, hidden), x_2, PRECISION)
                x_3 = product(z, matrix(w + 3 * block, 1, channels, unit, hidden), x_3, PRECISION)
        c_new = c
        if KIND == "lstm":
            mapped = c
            if PROJECT_C:
                mapped = tl.load(x + 4 * gate, inside, 0.0)
                for k in tl.static_range(OWN + HOPS):
                    z = signal(c, k, signals_c + now, gate, inside, matrices, node, nodes, OWN, PRECISION)
                    mapped = product(z, matrix(weight_c + k * hidden, 1, channels, unit, hidden), mapped, PRECISION)
                tl.store(x + 4 * gate, mapped, inside)
            x_0, x_1, x_2, x_3, h_new, c_new = lstm(x_0, x_1, x_2, x_3, mapped, p_i, p_f, p_o, PEEPHOLES)
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
        after = now + (1 - REVERSE) * step
        tl.store(h_all + after, h, inside)
        if KIND == "lstm":
            tl.store(c_all + after, c, inside)


@triton.jit(do_not_specialize=NUMBERS)
def scan_backward(
    a, da, h_all, c_all, dh_last, dc_last, doutput, matrices, weight, weight_c, w_ci, w_cf, w_co, active,
    steps, rows, nodes, apart, between, hidden, OUTPUT: tl.constexpr,
    KIND: tl.constexpr, PEEPHOLES: tl.constexpr, PROJECT_C: tl.constexpr, OWN: tl.constexpr, HOPS: tl.constexpr,
    REVERSE: tl.constexpr, ACTIVE: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    node, unit, row, here, inside, at = block_of(rows, nodes, apart, between, hidden, ROWS, UNITS)
    step = rows.to(tl.int64) * hidden
    gate, channels = steps * step, (OWN + HOPS) * hidden
    block = hidden * channels
    p_i, p_f, p_o = peephole(w_ci, unit, hidden), peephole(w_cf, unit, hidden), peephole(w_co, unit, hidden)
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
            if PROJECT_C:
                mapped = tl.load(a + now + 4 * gate, inside, 0.0)
            else:
                mapped = tl.load(c_all + before, inside, 0.0)
            c_new = tl.load(c_all + after, inside, 0.0)
            d_0, d_1, d_2, d_3, dc = lstm_back(dh, dc, x_0, x_1, x_2, x_3, mapped, c_new, p_i, p_f, p_o, PEEPHOLES)
            if PROJECT_C:
                dmapped = dc
                tl.store(dx + 4 * gate, dmapped, inside)
                dc = tl.full((ROWS, UNITS), 0.0, dmapped.dtype)
                for k in tl.static_range(OWN + HOPS):
                    dz = tl.full((ROWS, UNITS), 0.0, dmapped.dtype)
                    dz = product(dmapped, matrix(weight_c + k * hidden, channels, 1, unit, hidden), dz, PRECISION)
                    dc = signal_back(dz, k, dc, matrices, node, nodes, OWN, PRECISION)
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
                dz = product(d_1, matrix(w, channels, 1, unit, hidden), dz, PRECISION)
                dz = product(d_2, matrix(w + block, channels, 1, unit, hidden), dz, PRECISION)
                dz = product(d_3, matrix(w + 2 * block, channels, 1, unit, hidden), dz, PRECISION)
            else:
                dz = product(d_0, matrix(w, channels, 1, unit, hidden), dz, PRECISION)
            if KIND == "lstm":
                dz = product(d_1, matrix(w + block, channels, 1, unit, hidden), dz, PRECISION)
                dz = product(d_2, matrix(w + 2 * block, channels, 1, unit, hidden), dz, PRECISION)
                dz = product(d_3, matrix(w + 3 * block, channels, 1, unit, hidden), dz, PRECISION)
            dh = signal_back(dz, k, dh, matrices, node, nodes, OWN, PRECISION)
        if ACTIVE:
            dh += h_passed
            dc += c_passed
    tl.store(dh_last + at, dh, inside)
    if KIND == "lstm":
        tl.store(dc_last + at, dc, inside)
