"""The rules of the rotation protocol. A protocol is a value: each field is a rule, and a mistake is one turned off."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Rules:
    """The choices of a protocol. The defaults are ours."""

    # The exchange
    records_before_answer: bool = True  # the hand-out is on the Device before the copy leaves
    keeps_old_until_proof: bool = True  # handing out does not end the old copy
    success_is_use: bool = True  # not what a device says of itself
    conditional_writes: bool = True  # every write names the version that it means
    schema_guards: bool = True  # CEL: c changes only to o, and an offer ends only by being proved
    one_offer_at_a_time: bool = True  # a copy that is not proved is handed out again, and not replaced by a newer one
    rereads_when_behind: bool = True  # a shared reading that is older than the presented copy is not used
    reads_permission_fresh: bool = True  # the rotation is read for each hand-out (at most a second old)
    # The exchange after a compromise
    moves_no_keyless: bool = True  # a copy without a key is not handed the generation of a compromise
    key_still_checks_in: bool = True  # below the floor a copy with its key is good for a check-in
    revoked_offer_is_proved: bool = True  # also an offer below the floor is ended by its proof
    enrolls_with_accepted: bool = True  # who enrolls again is answered with a copy that is not below the floor
    # The controller
    waits_for_stragglers: bool = True  # Aborted is said when no replica can hand out by an older reading
    one_rotation_at_a_time: bool = True
    abort_keeps_offers: bool = True
    abort_keeps_proofs: bool = True
    counts_what_is_open: bool = True  # maxConcurrency counts open places, not only devices in progress
    looks_before_giving_up: bool = True  # a place goes to another after a GET has shown that the device did not start
    batch_needs_success: bool = True  # the next batch opens on successes, not on "none is in progress"
    closes_on_failures: bool = True
    derives_counts: bool = True  # counts are a function of the Devices, not counters beside them
    ends_per_device: bool = True  # no generation is ended as a whole when the rotation is complete
    finishes_by_list: bool = True  # "all have proved" is confirmed by a consistent list, old reservations being gone
    waits_for_the_living: bool = True  # revoked devices are no members: no rotation waits for them
    # Enrollment
    reserves_by_swap: bool = True  # a place is taken by a compare-and-swap of the PairingToken
    swap_checks_generation: bool = True  # ... which also decides which value may still enroll
    late_retry_by_old_value: bool = True  # the same key may ask again with the value by which it enrolled
    carries_serial_of_value: bool = (
        True  # a Device has the serial of its value, not of the PairingToken when it is made
    )
    obeys_revocation: bool = True  # a revoked value takes no place
    keeps_places: bool = True  # while a request may still create the Device, also one that was deleted since
    # The device
    device_keeps_old: bool = True  # until a 2xx to the new copy
    device_keeps_refused: bool = True  # a copy that was refused is not thrown away while the other one is unproven


OURS = Rules()


class Broken(NamedTuple):
    """An invariant does not hold."""

    text: str


Step = Hashable  # the next state, or Broken


class World(Protocol):
    """What is explored: a start, the steps from each state, and what must hold."""

    @property
    def start(self) -> Any: ...

    def steps(self, rules: Rules, state: Any) -> Iterator[Any]:
        """Yield each next state, or what is broken by a step."""

    def representative(self, rules: Rules, state: Any) -> Any:
        """Return the state that stands for all that differ from this one in nothing that matters later."""

    def check(self, rules: Rules, state: Any) -> Iterator[Broken]:
        """Yield what is broken in a state."""

    def check_step(self, rules: Rules, before: Any, after: Any) -> Iterator[Broken]:
        """Yield what is broken by going from one state to another."""

    def good(self, state: Any) -> bool:
        """Tell whether whoever waits long enough has what it wants: else a state is a trap."""

    @property
    def witnesses(self) -> tuple[Callable[[Any], bool], ...]:
        """The states that must be reachable, lest all this be true of nothing."""


def put(values: tuple[Any, ...], index: int, value: Any) -> tuple[Any, ...]:
    return (*values[:index], value, *values[index + 1 :])
