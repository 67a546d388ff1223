"""What some releases of torch cannot do, or not on every CPU, which is no fault of layers that call them."""

import torch

# torch.compile of torch 2.6 knows no dictionaries by filters, frozen dataclasses, and leaves such calls to Python.
IN_ONE_PIECE = not torch.__version__.startswith("2.6.")

# torch 2.6 exports no scans, so a dynamic number of time steps neither.
EXPORTS_SCANS = not torch.__version__.startswith("2.6.")


def lstm_autocasts():
    """Whether torch's own LSTM runs under autocast on this CPU; up to torch 2.15 not where AVX2 is all it has."""
    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.nn.LSTM(1, 1)(torch.ones(1, 1, 1))
    except RuntimeError:
        return False
    return True
