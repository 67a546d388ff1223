"""The code of README and docs/, block by block, and what the comments in it promise."""

import re

FENCE = re.compile(r"```python(?: (\w+))?\n(.*?)```", re.DOTALL)
PROMISE = re.compile(
    r"^.*print\(.*\).*#\s*(torch\.Size.*|tensor\(\w+\)|True \d+|True|\d+\.\d+|\d+)", flags=re.MULTILINE
)


def setup(page: str) -> str:
    """What every block of a page begins with: its block ``python setup``, if it has one."""
    return "".join(code for kind, code in FENCE.findall(page) if kind == "setup")


def blocks(page: str, *kinds: str) -> list[str]:
    """The blocks of these kinds in their order, a plain one being of kind "": as they stand, without the setup."""
    return [code for kind, code in FENCE.findall(page) if kind in kinds]


def check_promises(code: str, printed: str) -> None:
    """What stands in a comment behind a `print` is in what was printed."""
    for line in PROMISE.findall(code):
        assert line in printed, (line, printed)
