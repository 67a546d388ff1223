"""The compiled engine: all steps of a layer, forward and backward, in one call of a C++ library."""
