"""Data sets by name: where they come from, their checksums, and toy graphs made on the spot."""
