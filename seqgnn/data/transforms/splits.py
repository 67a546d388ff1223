"""Cuts in time: training first, then validation, then test."""

Share = int | float


def split_range(
    who: str, count: int, train: Share, val: Share, test: Share, gap: int = 0
) -> tuple[range, range, range]:
    """The parts of `range(count)`, in order, with nothing shared.

    Args:
        who: of the messages.
        count: how many there are to share.
        train, val, test: all fractions (floats; of `count`, rounded down, and a test part that completes the whole gets
            the rest) or all counts (ints).
        gap: how many to leave out before validation, and as many before the test part.

    Raises:
        ValueError: for parts that are empty or more than there is together, and a negative gap.

    Example:
        >>> split_range("example", 10, 0.5, 0.2, 0.3, gap=1)
        (range(0, 5), range(6, 8), range(9, 10))
        >>> split_range("example", 10, 4, 2, 2)
        (range(0, 4), range(4, 6), range(6, 8))
    """
    shares = {"train": train, "val": val, "test": test}
    kinds = {type(share) for share in shares.values()}
    if kinds not in ({int}, {float}):
        raise ValueError(f"{who}: expected train, val and test as three fractions or three counts, got {shares}")
    if isinstance(gap, bool) or not isinstance(gap, int) or gap < 0:
        raise ValueError(f"{who}: expected gap to be an integer of at least 0, for parts must not overlap, got {gap!r}")
    whole = 1.0 if kinds == {float} else count
    if not all(share > 0 for share in shares.values()) or not train + val + test <= whole + 1e-9:
        raise ValueError(f"{who}: expected parts above 0 with a sum of at most {whole:g}, got {shares}")
    if kinds == {float}:
        sizes = [int(train * count), int(val * count)]
        rest = count - sum(sizes) - 2 * gap
        sizes.append(rest if train + val + test > 1 - 1e-9 else int(test * count))
    else:
        sizes = [int(train), int(val), int(test)]
    for name, size in zip(shares, sizes):
        if size < 1:
            raise ValueError(f"{who}: expected a {name} part that is not empty, got {shares} of {count}, gap {gap}")
    starts = [0, sizes[0] + gap, sum(sizes[:2]) + 2 * gap]
    parts = tuple(range(start, start + size) for start, size in zip(starts, sizes))
    if parts[2].stop > count:
        raise ValueError(f"{who}: expected parts and gaps that fit into {count}, got {shares}, gap {gap}")
    return parts[0], parts[1], parts[2]
