"""Numbers as text for people."""


def percentage(part: int, whole: int) -> str:
    """Format a share: 3.2%."""
    return f"{part / whole:.1%}" if whole else "0%"


def readable_duration(seconds: float) -> str:
    """Format a duration in one unit: 48 s, 12 min, 3.4 h, 1,204 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def clock_time(seconds: float) -> str:
    """Format a position in a track: 3:07."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
