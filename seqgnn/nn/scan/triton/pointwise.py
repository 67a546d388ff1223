r"""The cells of :mod:`seqgnn.nn.scan.fused.cells` as Triton's kernels: the equations of a step with their backward
pass, and one launch for all rows of a step.

Kernels read gates before their nonlinearity and write them after it; the backward pass overwrites them by the gradients
of their pre-activations. The kernels have only been run in Triton's interpreter, not on a GPU.
"""

import triton
import triton.language as tl


@triton.jit
def sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def tanh(x):
    e = tl.exp(-2 * tl.abs(x))
    y = (1 - e) / (1 + e)
    return tl.where(x < 0, -y, y)


@triton.jit
def sigmoid_back(dy, y):
    return dy * y * (1 - y)


@triton.jit
def tanh_back(dy, y):
    return dy * (1 - y * y)


# The equations


@triton.jit
def rnn(g, RELU: tl.constexpr):
    if RELU:
        h = tl.where(g < 0, 0.0, g)
    else:
        h = tanh(g)
    return h


@triton.jit
def rnn_back(dh, h, RELU: tl.constexpr):
    if RELU:
        dg = tl.where(h <= 0, 0.0, dh)  # nan as in torch
    else:
        dg = tanh_back(dh, h)
    return dg


@triton.jit
def lstm(i, f, g, o, c, w_ci, w_cf, w_co, PEEPHOLES: tl.constexpr):
    if PEEPHOLES:
        i += w_ci * c
        f += w_cf * c
    i, f, g = sigmoid(i), sigmoid(f), tanh(g)
    c = f * c + i * g
    if PEEPHOLES:
        o += w_co * c
    o = sigmoid(o)
    return i, f, g, o, o * tanh(c), c


@triton.jit
def lstm_back(dh, dc, i, f, g, o, c, c_new, w_ci, w_cf, w_co, PEEPHOLES: tl.constexpr):
    do, dc = output_back(dh, dc, o, c_new)
    if PEEPHOLES:
        dc += w_co * do
    di, df, dg = sigmoid_back(dc * g, i), sigmoid_back(dc * c, f), tanh_back(dc * i, g)
    dc = dc * f
    if PEEPHOLES:
        dc += w_ci * di + w_cf * df
    return di, df, dg, do, dc


@triton.jit
def output_back(dh, dc, o, c):
    tanh_c = tanh(c)
    return sigmoid_back(dh * tanh_c, o), dc + tanh_back(dh * o, tanh_c)


@triton.jit
def gru(n, r, z, u_n, h):
    r, z = sigmoid(r), sigmoid(z)
    n = tanh(n + r * u_n)
    return n, r, z, n + z * (h - n)


@triton.jit
def gru_back(dh, n, r, z, u_n, h):
    """The last value is the gradient with respect to h without the part through the hidden projection."""
    dn, dz, dh = mixture_back(dh, n, z, h)
    return dn, sigmoid_back(dn * u_n, r), dz, dn * r, dh


@triton.jit
def mixture_back(dh, n, z, h):
    return tanh_back(dh * (1 - z), n), sigmoid_back(dh * (h - n), z), dh * z


# A step of all rows


@triton.jit
def _places(size, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return at, at < size


@triton.jit
def rnn_forward(g, h, size, RELU: tl.constexpr, BLOCK: tl.constexpr):
    at, here = _places(size, BLOCK)
    tl.store(h + at, rnn(tl.load(g + at, here), RELU), here)


@triton.jit
def rnn_backward(dh, h, g, size, RELU: tl.constexpr, BLOCK: tl.constexpr):
    at, here = _places(size, BLOCK)
    tl.store(g + at, rnn_back(tl.load(dh + at, here), tl.load(h + at, here), RELU), here)


@triton.jit
def lstm_forward(
    i, f, g, o, c, h_new, c_new, w_ci, w_cf, w_co, size, HIDDEN, PEEPHOLES: tl.constexpr, BLOCK: tl.constexpr
):
    at, here = _places(size, BLOCK)
    i_t, f_t, g_t, o_t = tl.load(i + at, here), tl.load(f + at, here), tl.load(g + at, here), tl.load(o + at, here)
    c_t, p_i, p_f, p_o = tl.load(c + at, here), 0.0, 0.0, 0.0
    if PEEPHOLES:
        unit = at % HIDDEN
        p_i, p_f, p_o = tl.load(w_ci + unit, here), tl.load(w_cf + unit, here), tl.load(w_co + unit, here)
    i_t, f_t, g_t, o_t, h_t, c_t = lstm(i_t, f_t, g_t, o_t, c_t, p_i, p_f, p_o, PEEPHOLES)
    tl.store(i + at, i_t, here)
    tl.store(f + at, f_t, here)
    tl.store(g + at, g_t, here)
    tl.store(o + at, o_t, here)
    tl.store(h_new + at, h_t, here)
    tl.store(c_new + at, c_t, here)


@triton.jit
def lstm_backward(
    dh, dc, i, f, g, o, c, c_new, w_ci, w_cf, w_co, size, HIDDEN, PEEPHOLES: tl.constexpr, BLOCK: tl.constexpr
):
    at, here = _places(size, BLOCK)
    i_t, f_t, g_t, o_t = tl.load(i + at, here), tl.load(f + at, here), tl.load(g + at, here), tl.load(o + at, here)
    before, after = tl.load(c + at, here), tl.load(c_new + at, here)
    dh_t, dc_t, p_i, p_f, p_o = tl.load(dh + at, here), tl.load(dc + at, here), 0.0, 0.0, 0.0
    if PEEPHOLES:
        unit = at % HIDDEN
        p_i, p_f, p_o = tl.load(w_ci + unit, here), tl.load(w_cf + unit, here), tl.load(w_co + unit, here)
    di_t, df_t, dg_t, do_t, dc_t = lstm_back(dh_t, dc_t, i_t, f_t, g_t, o_t, before, after, p_i, p_f, p_o, PEEPHOLES)
    tl.store(i + at, di_t, here)
    tl.store(f + at, df_t, here)
    tl.store(g + at, dg_t, here)
    tl.store(o + at, do_t, here)
    tl.store(dc + at, dc_t, here)


@triton.jit
def gru_forward(n, r, z, u_n, h, h_new, size, BLOCK: tl.constexpr):
    at, here = _places(size, BLOCK)
    n_t, r_t, z_t, u_t = tl.load(n + at, here), tl.load(r + at, here), tl.load(z + at, here), tl.load(u_n + at, here)
    n_t, r_t, z_t, h_t = gru(n_t, r_t, z_t, u_t, tl.load(h + at, here))
    tl.store(n + at, n_t, here)
    tl.store(r + at, r_t, here)
    tl.store(z + at, z_t, here)
    tl.store(h_new + at, h_t, here)


@triton.jit
def gru_backward(dh, n, r, z, u_n, h, size, BLOCK: tl.constexpr):
    at, here = _places(size, BLOCK)
    n_t, r_t, z_t, u_t = tl.load(n + at, here), tl.load(r + at, here), tl.load(z + at, here), tl.load(u_n + at, here)
    dn_t, dr_t, dz_t, du_t, dh_t = gru_back(tl.load(dh + at, here), n_t, r_t, z_t, u_t, tl.load(h + at, here))
    tl.store(n + at, dn_t, here)
    tl.store(r + at, dr_t, here)
    tl.store(z + at, dz_t, here)
    tl.store(u_n + at, du_t, here)
    tl.store(dh + at, dh_t, here)


@triton.jit
def reset_forward(r, z, h, rh, size, BLOCK: tl.constexpr):
    r""":math:`\sigma(r)`, :math:`\sigma(z)` and :math:`\sigma(r) h`."""
    at, here = _places(size, BLOCK)
    r_t, z_t = sigmoid(tl.load(r + at, here)), sigmoid(tl.load(z + at, here))
    tl.store(r + at, r_t, here)
    tl.store(z + at, z_t, here)
    tl.store(rh + at, r_t * tl.load(h + at, here), here)


@triton.jit
def reset_backward(drh, r, h, dh, size, BLOCK: tl.constexpr):
    """Adds to dh."""
    at, here = _places(size, BLOCK)
    r_t, drh_t = tl.load(r + at, here), tl.load(drh + at, here)
    tl.store(r + at, sigmoid_back(drh_t * tl.load(h + at, here), r_t), here)
    tl.store(dh + at, tl.load(dh + at, here) + drh_t * r_t, here)


@triton.jit
def mixture_forward(n, z, h, h_new, size, BLOCK: tl.constexpr):
    at, here = _places(size, BLOCK)
    n_t, z_t = tanh(tl.load(n + at, here)), tl.load(z + at, here)
    tl.store(n + at, n_t, here)
    tl.store(h_new + at, n_t + z_t * (tl.load(h + at, here) - n_t), here)


@triton.jit
def mixture_backward(dh, n, z, h, rh, r, size, BLOCK: tl.constexpr):
    """Writes also r h, the input of the candidate's projection."""
    at, here = _places(size, BLOCK)
    h_t = tl.load(h + at, here)
    dn_t, dz_t, dh_t = mixture_back(tl.load(dh + at, here), tl.load(n + at, here), tl.load(z + at, here), h_t)
    tl.store(n + at, dn_t, here)
    tl.store(z + at, dz_t, here)
    tl.store(dh + at, dh_t, here)
    tl.store(rh + at, tl.load(r + at, here) * h_t, here)
