"""Who is connected, and with which token: what heartbeats tell (R23). Hearsay, and never a reason to revoke (S19)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from tallystick.domain.times import from_numeric_date

# An instance sends a heartbeat every 15 seconds, of which what is durable is refreshed once a minute. So a healthy one
# is never older than about 80 seconds here.
HEARTBEAT_SECONDS = 15
GOOD_WITHIN = timedelta(minutes=2)
WARNING_WITHIN = timedelta(minutes=10)
# An instance counts for the token that it has used last, until it is absent for so long (decisions.md).
FORGET_AFTER = timedelta(hours=24)
INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
MOST_KEPT = 1_000  # S19: ids per configuration; the rest are counted
MOST_NAMED = 5


class Grade(Enum):
    """How an instance does, by the age of its last heartbeat."""

    GOOD = "good"
    WARNING = "warning"
    PROBLEM = "problem"


# A grade ends at an age, and the next one begins.
_AGES = ((GOOD_WITHIN, Grade.GOOD), (WARNING_WITHIN, Grade.WARNING), (FORGET_AFTER, Grade.PROBLEM))


@dataclass(frozen=True, slots=True)
class Sighting:
    """An instance was seen with a token.

    Args:
        serial: the running number of the token.
        seen: when, in seconds since the epoch.
    """

    serial: int
    seen: int


@dataclass(frozen=True, slots=True)
class Presence:
    """All sightings of one configuration, by the id of the instance; and about how many instances are not kept."""

    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Attendance:
    """A presence at one time.

    Attributes:
        grades: How many instances have each grade.
        users: The instances by the running number of the token that they have used last, in order of their ids.
        next_change: When this will be different if nobody is heard of, None where there is nobody.
    """

    grades: Mapping[Grade, int]
    users: Mapping[int, tuple[str, ...]]
    next_change: datetime | None


def attendance(presence: Presence, now: datetime) -> Attendance:
    """Say who is there at a time. Who was absent for a day is forgotten."""
    grades: Counter[Grade] = Counter()
    users: dict[int, list[str]] = {}
    changes = []
    for instance, sighting in sorted(presence.sightings.items()):
        found = _grade_of(sighting, now)
        if found is not None:
            grade, until = found
            grades[grade] += 1
            users.setdefault(sighting.serial, []).append(instance)
            changes.append(until)
    by_serial = {serial: tuple(names) for serial, names in users.items()}
    return Attendance(grades, by_serial, min(changes, default=None))


def join(presences: Iterable[Presence]) -> Presence:
    """Join what replicas have seen: of each instance the latest, and no more instances than are kept of one."""
    joined: dict[str, Sighting] = {}
    unlisted = 0
    for presence in presences:
        unlisted += presence.unlisted
        for instance, sighting in presence.sightings.items():
            joined[instance] = max(joined.get(instance, sighting), sighting, key=_recency)
    if len(joined) <= MOST_KEPT:
        return Presence(joined, unlisted)
    latest = sorted(joined, key=lambda instance: (_recency(joined[instance]), instance), reverse=True)
    return Presence({instance: joined[instance] for instance in latest[:MOST_KEPT]}, unlisted + len(joined) - MOST_KEPT)


def is_forgotten(sighting: Sighting, now: datetime) -> bool:
    """Tell whether an instance was absent for so long that it does not count any more."""
    return now - from_numeric_date(sighting.seen) >= FORGET_AFTER


def named(instances: tuple[str, ...]) -> str:
    """Name the first few instances, for people."""
    rest = len(instances) - MOST_NAMED
    return ", ".join(instances[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _recency(sighting: Sighting) -> tuple[int, int]:
    return sighting.seen, sighting.serial


def _grade_of(sighting: Sighting, now: datetime) -> tuple[Grade, datetime] | None:
    seen = from_numeric_date(sighting.seen)
    return next(((grade, seen + age) for age, grade in _AGES if now - seen < age), None)
