"""Private helpers: argument checks, atomic files, English text, and private names of torch.

They do not depend on layers, data sets or models.
"""

__all__: list[str] = []
