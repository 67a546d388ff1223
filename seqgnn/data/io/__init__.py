"""Readers of files: time series, graphs, positions, tables and text. Reading executes no code."""
