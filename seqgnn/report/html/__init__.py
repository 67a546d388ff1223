"""One self-contained page about comparisons: the answer in words, tables, figures, and what was computed again to say
why."""

from seqgnn.report.html.page import render, write_page

__all__ = ["render", "write_page"]
