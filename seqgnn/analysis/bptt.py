"""Backpropagation through time by the chain rule."""

import torch
from torch import Tensor


@torch.no_grad()
def bptt_gradients(
    x: Tensor,
    target: Tensor,
    W_hx: Tensor,
    W_hh: Tensor,
    W_ph: Tensor,
    b_h: Tensor | None = None,
    b_p: Tensor | None = None,
) -> dict[str, Tensor]:
    r"""Backpropagation through time of the vanilla RNN by the chain rule, without autograd.

    .. math::
        a_t &= W_{hx} x_t + W_{hh} h_{t-1} + b_h, \quad h_t = \tanh(a_t), \quad h_0 = 0 \\
        p &= W_{ph} h_T + b_p, \quad L = -\frac{1}{B} \sum_b \log \mathrm{softmax}(p_b)_{y_b} \\
        \frac{\partial L}{\partial p} &= \frac{1}{B} (\mathrm{softmax}(p) - \mathrm{onehot}(y)), \quad
        \frac{\partial L}{\partial h_T} = W_{ph}^T \frac{\partial L}{\partial p} \\
        \frac{\partial L}{\partial a_t} &= \mathrm{diag}(1 - h_t^2) \frac{\partial L}{\partial h_t}, \quad
        \frac{\partial L}{\partial h_{t-1}} = W_{hh}^T \frac{\partial L}{\partial a_t} \\
        \frac{\partial L}{\partial W_{hh}} &= \sum_t \frac{\partial L}{\partial a_t} h_{t-1}^T, \quad
        \frac{\partial L}{\partial W_{hx}} = \sum_t \frac{\partial L}{\partial a_t} x_t^T, \quad
        \frac{\partial L}{\partial W_{ph}} = \frac{\partial L}{\partial p} h_T^T

    The factor diag(1 - h²) appears at every step, including the last one.

    Args:
        x: input sequences.
        target: class of each sequence.
        W_hx, W_hh, W_ph: weights from input to hidden, hidden to hidden, hidden to output.
        b_h, b_p: biases, zero if None.

    Shapes:
        x ``[T, B, d]``, target ``[B]``, W_hx ``[n, d]``, W_hh ``[n, n]``, W_ph ``[C, n]``, b_h ``[n]``, b_p ``[C]``.

    Returns:
        The gradients by name (``"W_hx"``, ``"W_hh"``, ``"W_ph"``), with the shapes of the weights.

    Raises:
        ValueError: if shapes, dtypes or devices do not fit each other, or a target is out of range.

    Example:
        >>> W = torch.eye(3)
        >>> gradients = bptt_gradients(torch.ones(4, 2, 3), torch.tensor([0, 2]), W, W, W)
        >>> sorted(gradients)
        ['W_hh', 'W_hx', 'W_ph']
    """
    if x.dim() != 3 or 0 in x.shape or target.shape != x.shape[1:2]:
        raise ValueError(
            "bptt_gradients: expected x of shape [T, B, d], not empty, and target of shape [B], "
            f"got {tuple(x.shape)} and {tuple(target.shape)}"
        )
    if W_hh.dim() != 2 or W_ph.dim() != 2:
        raise ValueError(f"bptt_gradients: expected matrices W_hh and W_ph, got ranks {W_hh.dim()} and {W_ph.dim()}")
    n, num_classes = W_hh.size(0), W_ph.size(0)
    expected = {"W_hx": (n, x.size(2)), "W_hh": (n, n), "W_ph": (num_classes, n), "b_h": (n,), "b_p": (num_classes,)}
    parameters = {"W_hx": W_hx, "W_hh": W_hh, "W_ph": W_ph, "b_h": b_h, "b_p": b_p}
    for name, tensor in parameters.items():
        if tensor is not None and tensor.shape != expected[name]:
            raise ValueError(f"bptt_gradients: expected {name} of {expected[name]}, got {tuple(tensor.shape)}")
        if tensor is not None and (tensor.dtype, tensor.device) != (x.dtype, x.device):
            raise ValueError(
                f"bptt_gradients: expected {name} of {x.dtype} on {x.device}, as x, "
                f"got {tensor.dtype} on {tensor.device}"
            )
    if target.dtype != torch.int64 or target.device != x.device:
        raise ValueError(
            f"bptt_gradients: expected target of torch.int64 on {x.device}, got {target.dtype} on {target.device}"
        )
    if not 0 <= int(target.min()) <= int(target.max()) < num_classes:
        raise ValueError(f"bptt_gradients: expected targets between 0 and {num_classes - 1}, got {target.tolist()}")
    b_h = x.new_zeros(n) if b_h is None else b_h
    b_p = x.new_zeros(num_classes) if b_p is None else b_p

    h = [x.new_zeros(x.size(1), n)]
    for x_t in x:
        h.append(torch.tanh(x_t @ W_hx.t() + h[-1] @ W_hh.t() + b_h))
    p = h[-1] @ W_ph.t() + b_p

    dL_dp = (p.softmax(-1) - torch.nn.functional.one_hot(target, num_classes)) / x.size(1)
    dL_dW_hx, dL_dW_hh = torch.zeros_like(W_hx), torch.zeros_like(W_hh)
    dL_dh = dL_dp @ W_ph
    for t in range(len(x), 0, -1):
        dL_da = dL_dh * (1 - h[t] ** 2)
        dL_dW_hh += dL_da.t() @ h[t - 1]
        dL_dW_hx += dL_da.t() @ x[t - 1]
        dL_dh = dL_da @ W_hh
    return {"W_hx": dL_dW_hx, "W_hh": dL_dW_hh, "W_ph": dL_dp.t() @ h[-1]}
