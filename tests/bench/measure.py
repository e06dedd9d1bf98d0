"""What a process costs, how pairs of runs compare, and whether the machine stood still meanwhile."""

import math
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

CALIBRATION_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Range:
    """Median and extremes of a figure over the pairs."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}-{self.most:.2f})"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was measured, what was found, and what it should be."""

    workload: str
    name: str
    found: Range
    goal: str = ""
    holds: bool | None = None

    @classmethod
    def at_most(cls, workload: str, name: str, values: Sequence[float], goal: float) -> "Figure":
        found = Range.of(values)
        return cls(workload, name, found, f"<= {goal:g}", found.median <= goal)

    @classmethod
    def at_least(cls, workload: str, name: str, values: Sequence[float], goal: float) -> "Figure":
        found = Range.of(values)
        return cls(workload, name, found, f">= {goal:g}", found.median >= goal)

    @classmethod
    def reported(cls, workload: str, name: str, values: Sequence[float]) -> "Figure":
        return cls(workload, name, Range.of(values))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pair:
    """What one pair of runs has shown."""

    seconds: float
    limit_seconds: float
    cpu: float
    limit_cpu: float
    writes: float = 0.0
    drift: float = 1.0

    @property
    def wall_ratio(self) -> float:
        return self.seconds / self.limit_seconds

    @property
    def cpu_ratio(self) -> float:
        return self.cpu / self.limit_cpu


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(pid: int) -> int:
    """The most resident memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def calibrate() -> float:
    """Seconds for a fixed piece of work: when it moves, the machine did, and not what is measured."""
    key = ec.generate_private_key(ec.SECP256R1())
    begun = time.perf_counter()
    for _ in range(CALIBRATION_ROUNDS):
        key.sign(b"calibration", ec.ECDSA(hashes.SHA256()))
    return time.perf_counter() - begun


def slope(counts: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent of a cost in a count: the slope of a straight line through their logarithms."""
    fit = statistics.linear_regression([math.log(count) for count in counts], [math.log(cost) for cost in costs])
    return fit.slope
