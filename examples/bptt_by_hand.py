"""Backpropagation through time of a vanilla RNN by hand: each factor of the chain rule compared with autograd.

    h_t = tanh(W_hx x_t + W_hh h_(t-1) + b_h),   p = W_ph h_T + b_p,   L = -log softmax(p)_y

The derivation starts from the loss and goes backwards, for one sequence. A second part shows why the product over steps
vanishes or explodes. Sources: Werbos 1990, "Backpropagation through time"; Pascanu, Mikolov and Bengio 2013,
https://arxiv.org/abs/1211.5063, equations 3 to 5. A student report of 2019 (report 1 of datasets/palindromes.md) omits
diag(1 - h_t²) from the product; this script compares the wrong product with the right one.

Run: python examples/bptt_by_hand.py [--out results]
"""

import argparse
from pathlib import Path

import torch
from torch.autograd.functional import jacobian
from torch.nn.functional import cross_entropy, one_hot

from seqgnn.analysis import bptt_gradients
from seqgnn.nn import RNN

T, INPUTS, HIDDEN, CLASSES, STEPS = 6, 3, 4, 3, 100
SCALES = {0.5: "#0072B2", 0.8: "#56B4E9", 1.0: "#000000", 1.5: "#E69F00", 3.0: "#D55E00"}  # Okabe and Ito's colors
differences = []


def compare(formula: str, by_hand: torch.Tensor, autograd: torch.Tensor) -> None:
    differences.append((by_hand - autograd).abs().max().item())
    rows = [" ".join(f"{value:+.6f}" for value in value.flatten()[:4].tolist()) for value in (by_hand, autograd)]
    more = f"  ... {autograd.numel()} in total" if autograd.numel() > 4 else ""
    print(f"\n{formula}\n  by hand   {rows[0]}{more}\n  autograd  {rows[1]}{more}")
    print(f"  largest difference {differences[-1]:.1e}")


def error(found: torch.Tensor, right: torch.Tensor) -> float:
    return ((found - right).norm() / right.norm()).item()


def product_norms(scale: float, size: int = 64) -> list[float]:
    """Return spectral norms of dh_t/dh_0 for t = 1, 2, ..., where W_hh is `scale` times an orthogonal matrix."""
    torch.manual_seed(0)
    W_hh = scale * torch.linalg.qr(torch.randn(size, size))[0]
    h, product, norms = torch.zeros(size), torch.eye(size), []
    for _ in range(STEPS):
        h = torch.tanh(W_hh @ h + 0.1 * torch.randn(size))
        product = torch.diag(1 - h**2) @ W_hh @ product
        norms.append(torch.linalg.matrix_norm(product, 2).item())
    return norms


def draw(norms: dict[float, list[float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    right, wrong = figure.subplots(1, 2, sharey=True)
    for scale, color in SCALES.items():
        for panel, curve in ((right, norms[scale]), (wrong, [scale**t for t in range(1, STEPS + 1)])):
            panel.semilogy(range(1, STEPS + 1), curve, color=color, linewidth=1.8)
            panel.text(STEPS + 2, curve[-1], f"{scale:g} Q", color=color, va="center")
    for panel, title in ((right, "right: product of diag(1 - h²) W_hh"), (wrong, "wrong: product of W_hh alone")):
        panel.set(title=title, xlabel="steps t between h_0 and h_t")
        panel.grid(color="#e4e4e4", linewidth=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    right.set_ylabel("spectral norm")
    figure.suptitle("How far a change of h_0 propagates: W_hh is a multiple of an orthogonal matrix Q")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the figure")
out = parser.parse_args().out
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
x, y = torch.randn(T, INPUTS), torch.tensor(2)
shapes = {"W_hx": (HIDDEN, INPUTS), "W_hh": (HIDDEN, HIDDEN), "W_ph": (CLASSES, HIDDEN)}
W_hx, W_hh, W_ph = weights = [torch.randn(shape).div(2).requires_grad_() for shape in shapes.values()]
b_h, b_p = torch.randn(HIDDEN) / 2, torch.randn(CLASSES) / 2


def states(h: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
    """Return h and the state after each row of x."""
    found = [h]
    for x_t in x:
        found.append(torch.tanh(W_hx @ x_t + W_hh @ found[-1] + b_h))
    return found


h = states(torch.zeros(HIDDEN), x)
p = W_ph @ h[T] + b_p
loss = cross_entropy(p, y)
steps = range(1, T + 1)
auto = dict(zip(shapes, torch.autograd.grad(loss, weights, retain_graph=True)))
auto_p, *auto_h = torch.autograd.grad(loss, [p, *h[1:]])
auto_step = [jacobian(lambda before, t=t: states(before, x[t - 1 : t])[-1], h[t - 1]) for t in steps]
auto_product = [jacobian(lambda before, t=t: states(before, x[t:])[-1], h[t]) for t in steps]

with torch.no_grad():
    dL_dp = p.softmax(0) - one_hot(y, CLASSES)
    compare("dL/dp = softmax(p) - onehot(y)", dL_dp, auto_p)
    compare("dL/dW_ph = dL/dp h_T^T", torch.outer(dL_dp, h[T]), auto["W_ph"])
    dL_dhT = W_ph.T @ dL_dp
    compare("dL/dh_T = W_ph^T dL/dp", dL_dhT, auto_h[-1])

    step = {t: torch.diag(1 - h[t] ** 2) @ W_hh for t in steps}
    compare("dh_t/dh_(t-1) = diag(1 - h_t²) W_hh, every t", torch.stack([*step.values()]), torch.stack(auto_step))
    product = {T: torch.eye(HIDDEN)}
    for t in range(T - 1, 0, -1):
        product[t] = product[t + 1] @ step[t + 1]
    in_order = torch.stack([product[t] for t in steps])
    compare("dh_T/dh_t = product of dh_s/dh_(s-1) over s = T, ..., t+1", in_order, torch.stack(auto_product))

    dL_dh = {t: product[t].T @ dL_dhT for t in steps}
    compare("dL/dh_t = (dh_T/dh_t)^T dL/dh_T, every t", torch.stack([*dL_dh.values()]), torch.stack(auto_h))
    dL_da = {t: (1 - h[t] ** 2) * dL_dh[t] for t in steps}
    dL_dW_hh = sum(torch.outer(dL_da[t], h[t - 1]) for t in steps)
    compare("dL/dW_hh = sum over t of diag(1 - h_t²) dL/dh_t h_(t-1)^T", dL_dW_hh, auto["W_hh"])
    dL_dW_hx = sum(torch.outer(dL_da[t], x[t - 1]) for t in steps)
    compare("dL/dW_hx = sum over t of diag(1 - h_t²) dL/dh_t x_t^T", dL_dW_hx, auto["W_hx"])

    print("\nRelative error of dh_T/dh_t\n  t    right     without diag(1 - h²), W_hh^(T-t)")
    wrong = {t: torch.linalg.matrix_power(W_hh, T - t) for t in steps}
    for t in reversed(steps):
        print(f"  {t}    {error(product[t], auto_product[t - 1]):.1e}   {error(wrong[t], auto_product[t - 1]):.1e}")
    wrong_W_hh = sum(torch.outer((1 - h[t] ** 2) * (wrong[t].T @ dL_dhT), h[t - 1]) for t in steps)
    right_error, wrong_error = error(dL_dW_hh, auto["W_hh"]), error(wrong_W_hh, auto["W_hh"])
    print(f"and of dL/dW_hh: {right_error:.1e} with the right product, {wrong_error:.1e} with the wrong one")

rnn = RNN(INPUTS, HIDDEN)
x, y = torch.randn(T, 8, INPUTS), torch.randint(CLASSES, (8,))
cross_entropy(rnn(x)[0][-1] @ W_ph.T + b_p, y).backward()
auto = {"W_hx": rnn.weight_ih_l0.grad, "W_hh": rnn.weight_hh_l0.grad, "W_ph": W_ph.grad}
written = bptt_gradients(x, y, rnn.weight_ih_l0, rnn.weight_hh_l0, W_ph, rnn.bias_ih_l0 + rnn.bias_hh_l0, b_p)
together = [torch.cat([found[name].flatten() for name in shapes]) for found in (written, auto)]
compare("All three, mean over 8 sequences: seqgnn.analysis.bptt_gradients and seqgnn.nn.RNN", *together)

norms = {scale: product_norms(scale) for scale in SCALES}
print("\nSpectral norm of dh_t/dh_0 for W_hh = scale * Q, Q orthogonal, 64 units, inputs of size 0.1")
print("  scale   t = 1     t = 10    t = 100   without diag(1 - h²), t = 100")
for scale, norm in norms.items():
    print(f"  {scale:<5g}   {norm[0]:.1e}   {norm[9]:.1e}   {norm[99]:.1e}   {scale**100:.1e}")
print("It is at most scale^t, as 1 - h² <= 1. At scale 1 it would stay 1 with W_hh alone; the right product vanishes.")
draw(norms, out / "bptt_by_hand.png")
print(f"figure: {out / 'bptt_by_hand.png'}")

assert max(differences) <= 1e-12 and right_error <= 1e-12 < 0.1 < wrong_error
assert max(norms[scale][-1] for scale in (0.5, 0.8, 1.0)) < 0.01 < 100 < min(norms[1.5][-1], norms[3.0][-1])
print(f"\nverdict: all {len(differences)} results by hand agree with autograd to {max(differences):.1e};")
print(f"without diag(1 - h²) in the product, as in report 1, the error of dL/dW_hh is {wrong_error:.0%} of its norm.")
