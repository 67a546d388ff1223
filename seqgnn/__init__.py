"""seqgnn: graph layers, recurrent layers and their hybrids, compared on the same samples."""

__version__ = "0.1.0"
