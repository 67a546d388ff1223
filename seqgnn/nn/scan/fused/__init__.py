"""The fused engine: forward and backward passes over all steps written by hand."""
