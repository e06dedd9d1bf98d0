"""Watch processes and wait for facts, with a deadline and without guessing how long things take."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Fact = TypeVar("Fact")


def poll(fact: Callable[[], Fact], *, seconds: float = 60.0) -> Fact:
    """Ask until the answer is true, and return it; fail if it is false when asked after `seconds`.

    How long an answer takes does not count: on a busy machine one that was asked for in time may come late.
    """
    deadline = time.monotonic() + seconds
    asked = time.monotonic()
    while not (seen := fact()):
        assert asked < deadline, f"still not so after {seconds:.0f} s"
        time.sleep(0.02)
        asked = time.monotonic()
    return seen


def ended(pid: int) -> bool:
    """Whether a process has ended; one whose exit status nobody has fetched yet (a zombie) has."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"
