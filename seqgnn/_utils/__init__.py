"""Private helpers of every room: checks of arguments, atomic files, English text, private names of torch.

Nothing here knows a layer, a data set or a model.
"""

__all__: list[str] = []
