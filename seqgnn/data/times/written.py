"""Timestamps as people and loggers write them, rewritten as ISO 8601: month names, AM and PM, weekdays, quarters."""

import re

CLOCK = r"\d{1,2}(?::\d{2}){1,2}(?:[.,]\d{1,9})?"
WEEKDAY = re.compile(r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? ", re.IGNORECASE)
TIME_FIRST = re.compile(rf"({CLOCK}(?: ?[ap]\.?m\.?)?),? (\S.*)", re.IGNORECASE)
CTIME = re.compile(rf"([A-Za-z]{{3,9}} \d{{1,2}}) ({CLOCK}) (\d{{4}})")
MONTH_FIRST = re.compile(r"(?P<month>[A-Za-z]{3,9})\.? (?P<day>\d{1,2}),? (?P<year>\d{4})(?P<rest>(?:[ ,].*)?)")
DAY_FIRST = re.compile(
    r"(?P<day>\d{1,2})[ .-]{1,2}(?P<month>[A-Za-z]{3,9})[ .-]{1,2}(?P<year>\d{4})(?P<rest>(?:[ ,].*)?)"
)
MONTH_ONLY = re.compile(r"(?P<month>[A-Za-z]{3,9})[ .-]{1,2}(?P<year>\d{4})")
QUARTER = re.compile(r"(\d{4})[ -]?Q([1-4])|Q([1-4])[ -/]?(\d{4})", re.IGNORECASE)
DOTTED = re.compile(r"(\d{4})\.(\d{1,2})\.(\d{1,2})(?=$|[ T,])")
HALF_DAY = re.compile(r"(.*?[ T])(\d{1,2})((?::\d{2}){0,2}(?:[.,]\d{1,9})?) ?([ap])\.?m\.?", re.IGNORECASE)
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip


def in_iso(text: str) -> str:
    """Return a time in the order and with the signs of ISO 8601, apart from dates as 1/3/2012; other text as it is.

    Example:
        >>> in_iso("Thu, 1 Mar 2012 2:05:00 PM"), in_iso("14:05 1/3/2012"), in_iso("2012 Q2")
        ('2012-03-01 14:05:00', '1/3/2012 14:05', '2012-04')
    """
    text = " ".join(text.split())
    if (match := QUARTER.fullmatch(text)) is not None:
        return f"{match[1] or match[4]}-{3 * int(match[2] or match[3]) - 2:02d}"
    text = WEEKDAY.sub("", text, count=1) if WEEKDAY.match(text) else text
    if (match := TIME_FIRST.fullmatch(text)) is not None:
        text = f"{match[2]} {match[1]}"
    text = _month_as_number(CTIME.sub(r"\1 \3 \2", text))
    text = DOTTED.sub(r"\1-\2-\3", text, count=1).replace(", ", " ")
    match = HALF_DAY.fullmatch(text)
    if match is None or int(match[2]) > 12:
        return text
    return f"{match[1]}{int(match[2]) % 12 + 12 * (match[4] in 'pP'):02d}{match[3]}"


def _month_as_number(text: str) -> str:
    match = MONTH_FIRST.fullmatch(text) or DAY_FIRST.fullmatch(text) or MONTH_ONLY.fullmatch(text)
    if match is None:
        return text
    name, parts = match["month"].lower(), match.groupdict()
    month = next((i for i, full in enumerate(MONTHS, 1) if full.startswith(name)), None)
    if month is None:
        return text
    date = f"{match['year']}-{month:02d}"
    return f"{date}-{int(parts['day']):02d}{parts['rest']}" if "day" in parts else date
