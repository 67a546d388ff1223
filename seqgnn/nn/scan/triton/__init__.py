"""The Triton engine: kernels for a step of a cell, and for all steps at once."""
