"""The contract of a device (docs/devices.md#the-rules) as one pure decision per answer of the exchange.

A device has two files: the copy that the exchange has accepted (proved), and a newer one (next). Steps are stored in
their order, and before the next request. So after a crash between any two of them, the device has a copy that the
exchange accepts, or can enroll again with its key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from tallystick.crypto.profiles import matching, serial
from tallystick.crypto.tokens import MAX_TOKEN_LENGTH

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds until the next attempt if the exchange does not say when: twice as many after each failure."""
LONGEST_RETRY_AFTER = 86400.0
"""Seconds. A longer Retry-After counts as this."""
INVALID_PROOF = "invalid-dpop-proof"
_MOST_DOUBLINGS = 6
_SPREAD, _STEPS = 0.5, 0xFFFF
_OK, _CREATED, _NO_CONTENT, _UNAUTHORIZED, _GONE = 200, 201, 204, 401, 410
_is_token = matching(rf"[!-~]{{1,{MAX_TOKEN_LENGTH}}}")
_is_device_id = matching(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


class Slot(StrEnum):
    """The two files of a device."""

    PROVED = "proved"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class Copy:
    """A token of the device.

    Attributes:
        device_id: The ID of the device; it gives the path of the check-in.
        generation: The generation of the copy.
        token: The token.
    """

    device_id: str
    generation: int
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """The copies in the files of the device; None if there is no such file."""

    proved: Copy | None = None
    next: Copy | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A copy that the device cannot store, as the next check-in reports it."""

    generation: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Memory:
    """The facts of this process. They are not stored: a new process begins without them.

    Attributes:
        refused: The copies that the exchange has rejected since the last pause.
        clock_taken: Whether the time was taken from the answer before.
        failures: The number of attempts since the last success: failed requests, and copies that the exchange has
            returned and not yet accepted. After a rejection of such a copy, the device waits.
        failed: The failure to report.
    """

    refused: frozenset[Slot] = frozenset()
    clock_taken: bool = False
    failures: int = 0
    failed: Failure | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """The next request: a check-in with the copy of a slot, or an enrollment if there is none."""

    slot: Slot | None = None
    copy: Copy | None = None
    failed: Failure | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer of the exchange. Status 0 means that there was none; `problem` is the reason.

    Attributes:
        status: The HTTP status.
        body: The JSON object; empty for any other content.
        retry_after: Seconds; None if the header is absent.
        date: The header `Date`.
        problem: A text for people.
    """

    status: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    retry_after: float | None = None
    date: datetime | None = None
    problem: str = ""

    @property
    def code(self) -> str:
        """The error code, which ends the type of the problem (RFC 9457)."""
        return str(self.body.get("type", "")).removeprefix("urn:problem:")


@dataclass(frozen=True, slots=True)
class Store:
    """Write a copy to a slot: a new file, which is renamed."""

    slot: Slot
    copy: Copy


@dataclass(frozen=True, slots=True)
class Promote:
    """Rename the file of the next copy to that of the proved one."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete the file of the next copy."""


Write = Store | Promote | Drop


class Outcome(StrEnum):
    """The meaning of an answer."""

    ENROLLED = "Enrolled"
    UP_TO_DATE = "UpToDate"
    HANDED_OUT = "HandedOut"
    REJECTED = "Rejected"
    CLOCK = "Clock"
    FAILED = "Failed"
    REMOVED = "Removed"


@dataclass(frozen=True, slots=True)
class Step:
    """The next step of the device: first the writes in their order, then the wait, then the next request.

    Attributes:
        outcome: The meaning of the answer.
        memory: The facts for the next decision.
        writes: The changes of the files.
        wait: Seconds until the next request.
        clock: The time of the exchange, if the clock of the device must be set to it.
    """

    outcome: Outcome
    memory: Memory
    writes: tuple[Write, ...] = ()
    wait: float = 0.0
    clock: datetime | None = None


def next_request(held: Held, memory: Memory) -> Request:
    """Return the next request: by the next copy, else by the proved one, else an enrollment (rules 4 and 8)."""
    for slot, copy in ((Slot.NEXT, held.next), (Slot.PROVED, held.proved)):
        if copy is not None and slot not in memory.refused:
            return Request(slot, copy, memory.failed)
    return Request()


def step(held: Held, memory: Memory, request: Request, answer: Answer) -> Step:
    """Decide on an answer.

    Args:
        held: The copies in the files, as at the request.
        memory: The facts of this process, as at the request.
        request: The request, as `next_request` returned it.
        answer: The answer to it.
    """
    if answer.code == INVALID_PROOF and answer.date is not None and not memory.clock_taken:
        return Step(Outcome.CLOCK, replace(memory, clock_taken=True), clock=answer.date)
    if request.copy is None or request.slot is None:
        return _after_enrollment(held, memory, answer)
    return _after_check_in(held, memory, request.slot, request.copy, answer)


def after_failed_write(memory: Memory, write: Write, reason: str, message: str) -> tuple[Memory, float]:
    """Return the facts and the wait after a write that failed. The writes after it are not made.

    A copy of a check-in that cannot be stored is reported at once. The exchange returns it again at a later check-in.
    """
    if isinstance(write, Store) and write.slot is Slot.NEXT:
        return Memory(failed=Failure(write.copy.generation, reason, message)), 0.0
    failures = memory.failures + 1
    return Memory(failures=failures), _backoff(failures)


def spread(wait: float, random_id: str) -> float:
    """Return a wait that is up to half as long again: a fleet that failed at once must not come back at once.

    Args:
        wait: Seconds after a failure. They are a minimum, because they can be those of `Retry-After`.
        random_id: A random identifier; its last four hex digits choose within the half.
    """
    return wait * (1 + _SPREAD * int(random_id[-4:], 16) / _STEPS)


def _after_enrollment(held: Held, memory: Memory, answer: Answer) -> Step:
    copy = _enrolled(answer.body) if answer.status in (_OK, _CREATED) else None
    if copy is None:
        return _later(memory, answer)
    # The exchange has rejected the copies in both files. The new one replaces the older first: until that is stored,
    # nothing is deleted.
    drop = (Drop(),) if held.next is not None else ()
    return Step(Outcome.ENROLLED, Memory(failures=memory.failures + 1), (Store(Slot.PROVED, copy), *drop))


def _after_check_in(held: Held, memory: Memory, slot: Slot, copy: Copy, answer: Answer) -> Step:
    if answer.status == _GONE:
        return Step(Outcome.REMOVED, memory)
    if answer.status == _UNAUTHORIZED and answer.code != INVALID_PROOF:
        rejected = replace(memory, refused=memory.refused | {slot}, clock_taken=False)
        return Step(Outcome.REJECTED, rejected, wait=_backoff(memory.failures))
    newer = _copy(answer.body, copy.device_id) if answer.status == _OK else None
    if answer.status != _NO_CONTENT and newer is None:
        return _later(memory, answer)
    # A 2xx to a copy proves it (rule 5). Only a complete answer counts: a gateway can answer 200 with a page.
    promotion = (Promote(),) if slot is Slot.NEXT else ()
    if newer is not None and memory.failed is None and newer.generation > _newest(held, memory):
        again = Memory(failures=memory.failures + 1) if Slot.NEXT in memory.refused else Memory()
        return Step(Outcome.HANDED_OUT, again, (*promotion, Store(Slot.NEXT, newer)))
    return Step(Outcome.UP_TO_DATE, Memory(), promotion, _wait_of(answer, LONGEST_WAIT))


def _later(memory: Memory, answer: Answer) -> Step:
    """Try again later, from the newest copy on: a rejection can have been an error (rule 10)."""
    failures = memory.failures + 1
    memory = Memory(failures=failures, failed=memory.failed)
    return Step(Outcome.FAILED, memory, wait=_wait_of(answer, _backoff(failures)))


def _newest(held: Held, memory: Memory) -> int:
    """Return the highest generation of the copies that the exchange has not just rejected (rule 6)."""
    copies = ((Slot.NEXT, held.next), (Slot.PROVED, held.proved))
    return max(
        (copy.generation for slot, copy in copies if copy is not None and slot not in memory.refused),
        default=0,
    )


def _wait_of(answer: Answer, otherwise: float) -> float:
    if answer.retry_after is not None:
        return min(max(answer.retry_after, FIRST_WAIT), LONGEST_RETRY_AFTER)
    return otherwise


def _backoff(failures: int) -> float:
    """Return the wait after so many failures; 0 after none."""
    return min(FIRST_WAIT * 2 ** min(failures - 1, _MOST_DOUBLINGS), LONGEST_WAIT) if failures else 0.0


def _enrolled(body: Mapping[str, Any]) -> Copy | None:
    device = body.get("device_id")
    return _copy(body, device) if _is_device_id(device) else None


def _copy(body: Mapping[str, Any], device: object) -> Copy | None:
    """Return the copy of an answer; None if the answer has none, or one that is not bound to the key."""
    generation, token, kind = body.get("generation"), body.get("token"), str(body.get("token_type"))
    if not serial(generation) or not _is_token(token) or kind.lower() != "dpop":
        return None
    return Copy(str(device), int(generation or 0), str(token))
