"""One device, and replicas that write its status by a reading of any age, without a version (docs/rules.md#s2).

Each replica decides as the protocol does. Only its writes are worse than the real ones, which are conditional. The
device keeps the newest copy alone, which is worse than its contract.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from hypothesis import strategies as st

Json = dict[str, Any]

NEWEST = 5
MOST_REQUESTS = 3


class Accepted(NamedTuple):
    """The generations that a Device accepts: the proved one, and the offered one; 0 for none."""

    proved: int
    offered: int


FIRST = Accepted(1, 0)


class Store(Protocol):
    """The place of the Device."""

    def read(self) -> Accepted: ...

    def write(self, wanted: Accepted) -> bool:
        """Write the status over the stored one, whatever it is; False if a rule rejects that."""


@dataclass
class Unguarded:
    """A store without rules, to see that they are needed."""

    stored: Accepted = FIRST

    def read(self) -> Accepted:
        return self.stored

    def write(self, wanted: Accepted) -> bool:
        self.stored = wanted
        return True


class Request(NamedTuple):
    """A check-in under way: the copy, and what its replica has read."""

    copy: int
    reading: Accepted
    newest: int


class Step(NamedTuple):
    """What happens next. `which` chooses among requests or copies; `heard` is whether the answer arrives."""

    kind: str
    which: int
    heard: bool


# An answer is as frequent as a question, and a rotation is rarer.
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["ask", "ask", "ask", "answer", "answer", "answer", "rotate"]),
        st.integers(0, MOST_REQUESTS - 1),
        st.sampled_from([True, True, False]),
    ),
    min_size=12,
    max_size=40,
)


@dataclass
class StaleWriters:
    """The device and its replicas."""

    store: Store
    newest: int = 1
    old: int = 1
    new: int = 0
    under_way: list[Request] = field(default_factory=list)
    rejected: int = 0
    proofs: int = 0

    @property
    def held(self) -> list[int]:
        return [copy for copy in (self.old, self.new) if copy]

    @property
    def is_locked_out(self) -> bool:
        return not set(self.held) & set(self.store.read())

    def take(self, step: Step) -> None:
        if step.kind == "rotate":
            self.newest = min(self.newest + 1, NEWEST)
        elif step.kind == "ask" and len(self.under_way) < MOST_REQUESTS:
            copy = self.held[step.which % len(self.held)]
            self.under_way.append(Request(copy, self.store.read(), self.newest))
        elif step.kind == "answer" and self.under_way:
            self._answer(self.under_way.pop(step.which % len(self.under_way)), step.heard)

    def _answer(self, request: Request, heard: bool) -> None:
        copy, reading, newest = request
        if copy > max(reading):
            reading = self.store.read()  # a reading that is older than the copy decides nothing
        wanted, accepted, handed_out = decide(copy, reading, newest)
        if wanted is not None and not self.store.write(wanted):
            self.rejected += 1  # the device is answered 503
        elif accepted and heard:
            self._hear(copy, handed_out)

    def _hear(self, copy: int, handed_out: int) -> None:
        if copy == self.new:
            self.old, self.new = copy, 0
            self.proofs += 1
        if handed_out > max(self.held):
            self.old, self.new = 0, handed_out


def decide(copy: int, reading: Accepted, newest: int) -> tuple[Accepted | None, bool, int]:
    """Return what a replica writes, whether it accepts the copy, and the copy that it hands out."""
    proved, offered = reading
    if copy not in (proved, offered):
        return None, False, 0
    if copy == offered:
        return Accepted(offered, 0), True, 0
    if offered:
        return None, True, offered
    if newest > proved:
        return Accepted(proved, newest), True, newest
    return None, True, 0
