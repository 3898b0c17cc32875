"""Durations and calendar intervals as ISO 8601 text, for catalogues and outputs alike; exact to the nanosecond."""


def duration_text(microseconds: int) -> str:
    """Write a duration: `PT93784.5S`, `-PT1.5S`."""
    return f"{'-' if microseconds < 0 else ''}PT{_decimal(abs(microseconds), 6)}S"


def interval_text(months: int, days: int, nanoseconds: int) -> str:
    """Write a calendar interval, whose months and days have no fixed length: `P1M2DT3.5S`, `P2D`, `PT0S`."""
    date = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    sign = "-" if nanoseconds < 0 else ""
    time = f"T{sign}{_decimal(abs(nanoseconds), 9)}S" if nanoseconds or not date else ""
    return f"P{date}{time}"


def _decimal(units: int, digits: int) -> str:
    """Return a count of decimal fractions as a number without trailing zeros."""
    whole, fraction = divmod(units, 10**digits)
    return f"{whole}.{fraction:0{digits}d}".rstrip("0").rstrip(".")
