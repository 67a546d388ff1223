"""Reports: tables, plots and a self-contained HTML page of results.

What the results say is computed in :mod:`seqgnn.experiments` and :mod:`seqgnn.analysis`; nothing is computed here.
"""

from seqgnn.report.html.page import write_page
from seqgnn.report.tables import show, to_csv, write

__all__ = ["show", "to_csv", "write", "write_page"]
