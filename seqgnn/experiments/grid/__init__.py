"""Grids: the models of a comparison by name, presets, and configuration files."""
