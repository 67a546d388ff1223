"""SGD with momentum, RMSprop and Adam from their equations, compared with torch.optim at every step on two surfaces.

The ravine is a quadratic valley, 50 times as steep across as along, at 30 degrees to the axes. The plateau is a well,
1 - exp(-|x|²/2), started where its gradient is 2e-7. Sources: Sutskever et al. 2013 for momentum (in torch's form),
Hinton's lecture 6e of 2012 for RMSprop, Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1, for Adam. A
student report of 2019 (report 1 of datasets/palindromes.md) puts Adam's epsilon inside the root. Here it is outside, as
in the paper; the other form is listed in a separate row.

Run: python examples/optimizers.py [--out results]
"""

import argparse
import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor


def momentum(g: Tensor, t: int, memory: dict, lr: Tensor, mu: float = 0.9) -> Tensor:
    v = memory["v"] = mu * memory.get("v", 0) + g
    return lr * v


def rmsprop(g: Tensor, t: int, memory: dict, lr: Tensor, alpha: float = 0.99, eps: float = 1e-8) -> Tensor:
    v = memory["v"] = alpha * memory.get("v", 0) + (1 - alpha) * g**2
    return lr * g / (v.sqrt() + eps)


def adam(g: Tensor, t: int, memory: dict, lr: Tensor, beta1=0.9, beta2=0.999, eps=1e-8, inside=False) -> Tensor:
    m = memory["m"] = beta1 * memory.get("m", 0) + (1 - beta1) * g
    v = memory["v"] = beta2 * memory.get("v", 0) + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return lr * m_hat / ((v_hat + eps).sqrt() if inside else v_hat.sqrt() + eps)


def ravine(x: Tensor) -> Tensor:
    cos, sin = math.cos(math.pi / 6), math.sin(math.pi / 6)
    along, across = cos * x[..., 0] + sin * x[..., 1], cos * x[..., 1] - sin * x[..., 0]
    return (along**2 + 50 * across**2) / 2


def plateau(x: Tensor) -> Tensor:
    return 1 - torch.exp(-x.square().sum(-1) / 2)


def walk(surface, step, lr: Tensor, steps: int) -> Tensor:
    """Return the path of each learning rate ``lr [R, 1]``: ``[steps + 1, R, 2]``."""
    path, memory = [STARTS[surface].expand(len(lr), 2)], {}
    for t in range(1, steps + 1):
        x = path[-1].clone().requires_grad_()
        (g,) = torch.autograd.grad(surface(x).sum(), x)
        path.append(path[-1] - step(g, t, memory, lr))
    return torch.stack(path)


def walk_of_torch(surface, make, lr: float, steps: int) -> Tensor:
    x = STARTS[surface].clone().requires_grad_()
    path, optimizer = [STARTS[surface]], make([x], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        surface(x).backward()
        optimizer.step()
        path.append(x.detach().clone())
    return torch.stack(path)


def steps_needed(heights: Tensor) -> Tensor:
    """For each learning rate the steps after which the path stays below the tolerance, inf if it does not."""
    steps = torch.arange(1, len(heights) + 1)[:, None]
    needed = torch.where(heights < TOLERANCE, 0, steps).amax(0)
    return torch.where(needed < len(heights), needed, math.inf)


def draw(paths: dict, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for panel, (surface, (left, right, low, high)) in zip(figure.subplots(1, 2), WINDOWS.items()):
        x, y = torch.meshgrid(torch.linspace(left, right, 200), torch.linspace(low, high, 200), indexing="xy")
        heights = surface(torch.stack([x, y], -1))
        panel.contour(x, y, heights, LEVELS[surface], colors="#bbbbbb", linewidths=0.8)
        for name, color in COLORS.items():
            label, path = paths[surface, name]
            panel.plot(*path.T, color=color, linewidth=1.4, marker=".", markersize=4, label=label)
        panel.plot(*STARTS[surface], "o", color="black", markersize=6)
        panel.plot(0, 0, "*", color="black", markersize=11)
        panel.set(xlim=(left, right), ylim=(low, high), xlabel="x", ylabel="y", title=surface.__name__, aspect="equal")
        panel.legend(fontsize=8, loc="upper right")
    figure.suptitle("200 steps from the dot toward the star, each at its best learning rate")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


torch.set_default_dtype(torch.float64)
STARTS = {ravine: torch.tensor([-4.0, 0.0]), plateau: torch.tensor([-5.0, 3.0])}
WINDOWS = {ravine: (-4.8, 2.2, -3.1, 1.9), plateau: (-5.8, 2.2, -1.8, 3.9)}
LEVELS = {ravine: [0.1, 1, 3, 8, 20, 50, 100, 200], plateau: [0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, 0.9999, 0.99999]}
RATES = torch.tensor([digit * 10**power for power in range(-3, 4) for digit in (1.0, 3.0)])[:, None]
TOLERANCE, LIMIT = 1e-3, 1000
OPTIMIZERS = {
    "SGD": (partial(momentum, mu=0), torch.optim.SGD),
    "SGD, momentum": (momentum, partial(torch.optim.SGD, momentum=0.9)),
    "RMSprop": (rmsprop, torch.optim.RMSprop),
    "Adam": (adam, torch.optim.Adam),
}
COLORS = {"SGD, momentum": "#0072B2", "RMSprop": "#E69F00", "Adam": "#D55E00"}  # Okabe and Ito's

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the figure")
out = parser.parse_args().out
print(f"Steps until the height stays below {TOLERANCE:g}, at the best rate of 1 and 3 times 0.001, 0.01, ..., 1000;")
print("and, at that rate (1 if none succeeds), the largest distance from the path of torch.optim in 200 steps")
paths, distances = {}, []
for surface in STARTS:
    for name, (step, make) in OPTIMIZERS.items():
        needed = steps_needed(surface(walk(surface, step, RATES, LIMIT)))
        reached = needed.min() < math.inf
        lr = RATES[needed.argmin()].item() if reached else 1.0
        path = walk(surface, step, torch.tensor([[lr]]), 200)[:, 0]
        distances.append((path - walk_of_torch(surface, make, lr, 200)).norm(dim=-1).max().item())
        said = f"{needed.min():.0f} steps" if reached else f"not in {LIMIT}"
        paths[surface, name] = f"{name}, rate {lr:g}: {said}", path
        print(f"  {surface.__name__:8} {name:14} rate {lr:<6g} {said:12} from torch {distances[-1]:.1e}")
    # Adam is the last optimizer of the loop: at its rate, with epsilon outside and inside the root.
    outside, inside = (walk(surface, partial(adam, inside=x), torch.tensor([[lr]]), LIMIT)[:, 0] for x in (False, True))
    apart = (outside - inside)[:201].norm(dim=-1).max().item()
    said = f"{steps_needed(surface(inside)[:, None]).item():.0f} steps"
    print(f"  {surface.__name__:8} {'  eps inside':14} rate {lr:<6g} {said:12} from torch {apart:.1e}")
draw(paths, out / "optimizers.png")
print(f"figure: {out / 'optimizers.png'}")

print("\nLength of Adam's first step, in learning rates: m / (sqrt(v) + 1e-8), and m / sqrt(v + 1e-8)")
for power in range(0, -9, -2):
    g = torch.tensor(10.0**power)
    right, other = (adam(g, 1, {}, 1.0, inside=inside).item() for inside in (False, True))
    print(f"  gradient {g:.0e}   outside {right:.4f}   inside {other:.4f}")

assert max(distances) <= 1e-12 < apart
print(f"\nverdict: SGD, momentum, RMSprop and Adam agree with torch.optim to {max(distances):.1e};")
print("epsilon inside the root, as in report 1, is a different optimizer where gradients are below 1e-4, its root:")
print(f"on the plateau its path differs from Adam's by up to {apart:.1f}, and it needs {said}.")
