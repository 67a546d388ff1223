"""Numbers of parameters of the layers: closed formulas compared with the modules.

Each gate of a recurrent cell maps d inputs and n hidden units to n numbers and adds one bias, or two, as in torch: an
RNN has one gate, a GRU three, an LSTM four. A graph adds nothing, since edges are not parameters. A filter with m terms
makes inputs and states m times as wide: m = 1 for GCN, K for Chebyshev polynomials, 2K - 1 for random walks in both
directions. Sources: the equations in the docstrings of seqgnn.nn and the papers cited there. The character model is
that of a student report of 2019 (datasets/char_text.md): d characters embedded in n dimensions, two layers, a linear
head.

Run: python examples/parameter_counts.py
"""

from seqgnn.models.sequence_model import build
from seqgnn.nn import DCRNN, GCNLSTM, GCRN, GRU, LSTM, RNN, GCNConv

SIZES = ((10, 128, 3), (1, 1, 2), (3, 5, 2), (83, 128, 4))  # d, n, K; the first is printed
CHARACTERS = (83, 128, 0)  # Democracy in America has 83 of them
LAYERS = {
    "RNN, one bias": ("d*n + n*n + n", lambda d, n, K: RNN(d, n, recurrent_bias=False)),
    "RNN": ("d*n + n*n + 2*n", lambda d, n, K: RNN(d, n)),
    "LSTM, one bias": ("4 * (d*n + n*n + n)", lambda d, n, K: LSTM(d, n, recurrent_bias=False)),
    "LSTM": ("4 * (d*n + n*n + 2*n)", lambda d, n, K: LSTM(d, n)),
    "LSTM, two layers": ("4 * (d*n + n*n + 2*n) + 4 * (2*n*n + 2*n)", lambda d, n, K: LSTM(d, n, 2)),
    "GRU": ("3 * (d*n + n*n + 2*n)", lambda d, n, K: GRU(d, n)),
    "GCNConv": ("d*n + n", lambda d, n, K: GCNConv(d, n)),
    "GCNLSTM": ("4 * (d*n + n*n + 2*n)", lambda d, n, K: GCNLSTM(d, n)),
    "GCRN, peepholes": ("4 * (K*(d*n + n*n) + 2*n) + 3*n", lambda d, n, K: GCRN(d, n, K=K)),
    "GCRN, GRU": ("3 * (K*(d*n + n*n) + 2*n)", lambda d, n, K: GCRN(d, n, K=K, cell="gru")),
    "GCRN, model 1": ("K*d*n + n + 4 * (n*n + n*n + 2*n) + 3*n", lambda d, n, K: GCRN(d, n, K=K, model=1)),
    "DCRNN": ("3 * ((2*K - 1)*(d*n + n*n) + 2*n)", lambda d, n, K: DCRNN(d, n, K=K)),
}
CHARACTER_LSTM = "d*n + 2 * 4 * (n*n + n*n + 2*n) + n*d + d"


def counted(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def check(name: str, formula: str, make, sizes: tuple[int, int, int]) -> str:
    by_formula = eval(formula, dict(zip("dnK", sizes)))
    assert by_formula == counted(make(*sizes)), (name, sizes)
    return f"  {name:22} {formula:44} {by_formula:>9,} {counted(make(*sizes)):>9,}"


def character_lstm(d: int, n: int, K: int):
    sizes = {"num_classes": d, "num_tokens": d, "hidden": n, "num_layers": 2}
    return build("lstm", **sizes, per_element=True, encoding="embedding")


d, n, K = SIZES[0]
print(f"d = {d}, n = {n}, K = {K}\n  {'layer':22} {'formula':44} {'formula':>9} {'module':>9}")
for name, (formula, make) in LAYERS.items():
    rows = [check(name, formula, make, sizes) for sizes in SIZES]
    print(rows[0])
print(f"\nd = {CHARACTERS[0]} characters, n = {CHARACTERS[1]}")
print(check("character LSTM", CHARACTER_LSTM, character_lstm, CHARACTERS))

try:
    GRU(d, n, recurrent_bias=False)
except ValueError as error:
    print("\nA GRU that resets before the hidden projection has one bias, 3 * (d*n + n*n + n); torch's form needs two:")
    print(f"  {error}")
else:
    raise AssertionError("a GRU of torch's form needs both biases")
print(f"\nverdict: {len(LAYERS) + 1} formulas agree with the modules, those of layers at {len(SIZES)} sizes each.")
