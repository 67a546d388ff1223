"""seqgnn: graph layers, recurrent layers and their hybrids, compared on the same samples."""

from seqgnn import data, nn

__version__ = "0.1.0"
__all__ = ["data", "nn"]
