"""Text generation with a character LSTM, trained for half a minute on Python's help topics, at several temperatures.

Run: python examples/generate.py [--out results/generate.png]
"""

import argparse
import math
from pathlib import Path

import torch

from seqgnn.data import CharText
from seqgnn.models.generation import generate
from seqgnn.models.sampling import SamplingConfig, next_probabilities
from seqgnn.models.sequence_model import build
from seqgnn.training.loop import TrainConfig, evaluate, fit

LOGITS = torch.tensor([[2.0, 1.0, 0.5, 0.0, -1.0]])


def entropy(p):
    return torch.special.entr(p).sum(-1).mean().item()


def draw(logits, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    temperatures = (0.25, 0.5, 1, 2, 4)
    colors = plt.get_cmap("coolwarm")([0.0, 0.2, 0.5, 0.8, 1.0])
    colors[2] = (0.45, 0.45, 0.45, 1.0)
    for place, (temperature, color) in enumerate(zip(temperatures, colors)):
        x = [i + 0.16 * (place - 2) for i in range(LOGITS.size(1))]
        p = next_probabilities(LOGITS, temperature)[0]
        left.bar(x, p, 0.16, color=color, label=f"temperature {temperature:g}")
    left.set_xticks(range(LOGITS.size(1)), [f"{value:g}" for value in LOGITS[0].tolist()])
    left.set(xlabel="logit", ylabel="probability", title="Softmax of five logits", ylim=(0, 1))
    left.legend(frameon=False)

    grid = torch.logspace(-2, 2, 81).tolist()
    most = math.log(logits.size(1))
    right.semilogx(grid, [entropy(next_probabilities(logits, t)) for t in grid], color="#333333")
    for temperature, color in zip(temperatures, colors):
        right.plot(temperature, entropy(next_probabilities(logits, temperature)), "o", color=color, markersize=8)
    right.axhline(most, color="#888888", linestyle="--", linewidth=1)
    right.text(grid[0], most - 0.05, f"uniform over {logits.size(1)} characters", color="#666666", va="top")
    right.set(xlabel="temperature", ylabel="nats", title="Entropy of the model's next character")
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("results/generate.png"))
out = parser.parse_args().out
torch.manual_seed(0)
text = CharText()
model = build("lstm", text, hidden=128, encoding="embedding", forget_bias=1.0)
config = TrainConfig(steps=1000, optimizer="adam", lr=5e-3, schedule="cosine", eval_every=500, stateful=True)
fit(model, text, config, seed=0)
score = evaluate(model, text.test(512))
print(f"held-out loss: {score.loss:.3f} nats per character, accuracy {score.accuracy:.3f}")

prompt = "If the expression is "
for temperature in (0, 0.3, 0.7, 1.2):
    sampling = SamplingConfig(temperature=temperature)
    (continuation,) = generate(model, text.vocabulary, prompt, sampling, length=200)
    print(f"--- {f'temperature {temperature}' if temperature else 'greedy'} ---\n{prompt}{continuation}")

with torch.no_grad():
    logits = model.eval()(next(text.test(64)))[0]
draw(logits, out)
print(f"figure of the softmax at several temperatures: {out}")
