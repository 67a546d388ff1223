"""Graph convolutions, drop-in for PyG's."""
