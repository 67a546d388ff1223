"""Data sets of the catalog with their sources and checksums, and toy graphs."""
