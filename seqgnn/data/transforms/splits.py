"""Splits in order of time: training, validation, test."""

PartSize = int | float


def split_range(
    caller: str, count: int, train: PartSize, val: PartSize, test: PartSize, gap: int = 0
) -> tuple[range, range, range]:
    """Return the parts of `range(count)`, in order and disjoint.

    Args:
        caller: name used in error messages.
        count: number of steps or windows to split.
        train, val, test: all fractions (floats; rounded down, and if their sum is 1 the test part gets the rest) or all
            counts (ints).
        gap: number to leave out before validation and again before the test part.

    Raises:
        ValueError: if a part is empty, the parts exceed `count`, or the gap is negative.

    Example:
        >>> split_range("example", 10, 0.5, 0.2, 0.3, gap=1)
        (range(0, 5), range(6, 8), range(9, 10))
        >>> split_range("example", 10, 4, 2, 2)
        (range(0, 4), range(4, 6), range(6, 8))
    """
    parts = {"train": train, "val": val, "test": test}
    kinds = {type(part) for part in parts.values()}
    if kinds not in ({int}, {float}):
        raise ValueError(f"{caller}: expected train, val and test as three fractions or three counts, got {parts}")
    if isinstance(gap, bool) or not isinstance(gap, int) or gap < 0:
        raise ValueError(f"{caller}: expected gap to be an integer of at least 0, got {gap!r}")
    total = 1.0 if kinds == {float} else count
    if not all(part > 0 for part in parts.values()) or not train + val + test <= total + 1e-9:
        raise ValueError(f"{caller}: expected parts above 0 with a sum of at most {total:g}, got {parts}")
    if kinds == {float}:
        sizes = [int(train * count), int(val * count)]
        remainder = count - sum(sizes) - 2 * gap
        sizes.append(remainder if train + val + test > 1 - 1e-9 else int(test * count))
    else:
        sizes = [int(train), int(val), int(test)]
    for name, size in zip(parts, sizes):
        if size < 1:
            raise ValueError(f"{caller}: expected a non-empty {name} part, got {parts} of {count}, gap {gap}")
    starts = [0, sizes[0] + gap, sum(sizes[:2]) + 2 * gap]
    ranges = tuple(range(start, start + size) for start, size in zip(starts, sizes))
    if ranges[2].stop > count:
        raise ValueError(f"{caller}: expected parts and gaps of at most {count} together, got {parts}, gap {gap}")
    return ranges[0], ranges[1], ranges[2]
