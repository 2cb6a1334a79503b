#!/usr/bin/env python3
"""Makes ticks.txt: when cron expressions have ticks, found without any cron library.

Every local second or minute that an expression could mean is walked by brute force, with Python's own
time zones. Usage: python3 ticks.py > ticks.txt

Each line is `zone|expression|first tick|distances`. Distances are groups of seconds by commas, each
with how often it comes: `3600+82800*86` is an hour and 23 hours, 86 times.
"""

import calendar
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

YEAR = 2026
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe"]
EXPRESSIONS = [
    "0 30 2 * * *",  # in the gap, or in the hour that comes twice
    "0 30 1 * * *",  # in America that hour is this one
    "30 2 * * *",  # the same without seconds
    "15,45 59 1,2,3 * * *",  # several of them: by real time
    "0 0 2,3 * * *",  # the same at the hour
    "*/20 30 2 * * SUN",  # seconds by steps, on days when clocks change
    "0 */30 * * * *",
    "*/15 * * 3,4,9,10,11 *",
    "0 0 */6 * * *",
    "0 0 9 * * MON",
    "0 0 0 L * *",
    "0 0 0 29-31 * *",
    "0 0 12 1 * FRI",  # the first, and each Friday
]
DAYS = {name: number for number, name in enumerate("SUN MON TUE WED THU FRI SAT".split())}


def values(field, low, high):
    found = set()
    for part in field.split(","):
        part, _, step = part.partition("/")
        if part == "*":
            first, last = low, high
        else:
            first, _, last = part.partition("-")
            first = DAYS.get(first) if first in DAYS else int(first)
            last = int(last) if last else first
        found.update(range(first, last + 1, int(step or 1)))
    return found


class Expression:
    def __init__(self, text):
        fields = text.split()
        if len(fields) == 5:
            fields.insert(0, "0")
        second, minute, hour, self.day, month, self.weekday = fields
        self.seconds = sorted(values(second, 0, 59))
        self.minutes = sorted(values(minute, 0, 59))
        self.hours = sorted(values(hour, 0, 23))
        self.months = values(month, 1, 12)
        self.is_fixed = all(it.isdecimal() for it in (second, minute, hour))

    def has(self, date):
        if date.month not in self.months:
            return False
        last = calendar.monthrange(date.year, date.month)[1]
        by_day = date.day == last if self.day == "L" else (
            self.day != "*" and date.day in values(self.day, 1, 31))
        by_weekday = self.weekday != "*" and date.isoweekday() % 7 in values(self.weekday, 0, 7)
        if self.day == "*" and self.weekday == "*":
            return True
        return by_day or by_weekday


def exists(local):
    """Whether a clock shows this."""
    return local.astimezone(timezone.utc).astimezone(local.tzinfo).replace(tzinfo=None) == \
        local.replace(tzinfo=None)


def after_gap(local):
    """The first instant whose clock shows more than this, where no clock shows this."""
    low = local.replace(fold=1).astimezone(timezone.utc) - timedelta(hours=3)
    while low.astimezone(local.tzinfo).replace(tzinfo=None) < local.replace(tzinfo=None):
        low += timedelta(seconds=1)
    return low


def ticks(expression, zone):
    found = set()
    day = datetime(YEAR, 1, 1) - timedelta(days=1)
    # Where clocks are ahead of UTC the next year has begun.
    while day <= datetime(YEAR + 1, 1, 1):
        if expression.has(day):
            for hour in expression.hours:
                for minute in expression.minutes:
                    for second in expression.seconds:
                        local = day.replace(hour=hour, minute=minute, second=second, tzinfo=zone)
                        if exists(local):
                            found.add(local.astimezone(timezone.utc))
                            if not expression.is_fixed:
                                found.add(local.replace(fold=1).astimezone(timezone.utc))
                        elif expression.is_fixed:
                            found.add(after_gap(local))
        day += timedelta(days=1)
    begin, end = datetime(YEAR, 1, 1, tzinfo=timezone.utc), datetime(YEAR + 1, 1, 1, tzinfo=timezone.utc)
    return sorted(int(it.timestamp()) for it in found if begin < it < end)


def groups(distances):
    """The distances, in groups of up to eight that are repeated."""
    place = 0
    while place < len(distances):
        best, times = 1, 1
        for size in range(1, 9):
            group = distances[place:place + size]
            count = 1
            while distances[place + count * size:place + (count + 1) * size] == group:
                count += 1
            if count * size > best * times:
                best, times = size, count
        yield "+".join(map(str, distances[place:place + best])) + f"*{times}"
        place += best * times


for name in ZONES:
    for text in EXPRESSIONS:
        all_ticks = ticks(Expression(text), ZoneInfo(name))
        distances = [later - earlier for earlier, later in zip(all_ticks, all_ticks[1:])]
        print(name, text, all_ticks[0], ",".join(groups(distances)), sep="|")
