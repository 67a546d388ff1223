"""Plots: scores and curves of a comparison, forecasts, maps of errors, and their common style."""
