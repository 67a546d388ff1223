"""Graphs as layers use them: normalized operators, prepared once, and the filters made of them."""
