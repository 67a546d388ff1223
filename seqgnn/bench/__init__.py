"""How fast the layers are on this machine: each beside others that compute the same, and beside a floor."""
