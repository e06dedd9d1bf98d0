"""Watch processes and wait for facts, with a deadline and without guessing how long things take."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Fact = TypeVar("Fact")

# Who has waited long asks less often: a wait for a Lease must not take the machine from the tests beside it.
FIRST_PAUSE, LONGEST_PAUSE, SHARE = 0.02, 0.2, 0.05
# The longest wait for any fact. `make permissions` makes it shorter, since its tests are to fail.
patience = math.inf


def poll(fact: Callable[[], Fact], *, seconds: float = 120.0) -> Fact:
    """Ask until the answer is true, and return it; fail if it is false when asked after `seconds`.

    How long an answer takes does not count: on a busy machine one that was asked for in time may come late.
    """
    seconds = min(seconds, patience)
    began = asked = time.monotonic()
    while not (seen := fact()):
        assert asked < began + seconds, f"still not so after {seconds:.0f} s"
        time.sleep(min(FIRST_PAUSE + SHARE * (asked - began), LONGEST_PAUSE))
        asked = time.monotonic()
    return seen


def ended(pid: int) -> bool:
    """Whether a process has ended; one whose exit status nobody has fetched yet (a zombie) has."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"
