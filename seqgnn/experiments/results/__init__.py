"""Results: runs loaded and gathered into a comparison, ranked, and tested for differences."""
