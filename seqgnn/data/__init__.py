"""Samples and data sets: sequences as path graphs, and batches of them."""
