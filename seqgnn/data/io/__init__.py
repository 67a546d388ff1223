"""Readers for files of time series, graphs, positions, tables and text. Reading never executes code."""
