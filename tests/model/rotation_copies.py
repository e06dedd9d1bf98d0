"""The copies of one device through two rotations, with two requests under way at once.

A request may take for ever (its process was stopped, its write is still under way, its answer is lost: it is all the
same), may be delivered twice, and may be answered after the device has given up on it. The question: is a copy that the
device holds accepted at every instant?

    c  status.generation        the generation of the copy that the device has proved
    o  status.offer.generation  a newer one that was handed out and is not proved; 0: none

Time is abstracted: whatever "has had its time" (inProgressTimeout, a deadline, an answer that does not come) may happen
at any moment. One bound is assumed, as in the code: a replica that has read the rotation before an order to stop hands
out by that reading for some seconds only, and Aborted is said after those (`waits_for_stragglers`).

After a compromise: a rotation that is Compromised moves no copy without a key. RevokeImmediately raises the floor.
Verifiers accept no copy below it; with its key, one is still good for a check-in. A thief has a copy, and not the key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.model.rotation_rules import Broken, Rules, put

NONE, RUNNING, CLOSING, FINAL = range(4)
MOST_REQUESTS = 2

Slot = tuple[Any, ...]


class Copies(NamedTuple):
    device: tuple[int, int]  # Device.status: c, o
    before: tuple[int, int]  # what a reading of the last second may still show
    revoked: bool  # Device.spec.revoked
    gen: int  # PairingToken.status.generation
    floor: int  # PairingToken.status.revokedBelowGeneration
    running: int  # PairingToken.status.rotation: 0, 1 or 2
    order: tuple[str, str]  # TokenRotation.spec.desiredState of both
    state: tuple[int, int]  # TokenRotation.status.state of both
    old: int  # what the device keeps on disk: the last copy that was answered 2xx ...
    new: int  # ... and one that is not proved yet; 0: none
    ram: int  # received, and not stored (only for the mistake that reports before it stores)
    stolen: int  # the newest copy that a thief has; 0: there is no thief
    lost: bool  # the device has lost its disk before; a request of before may still end what it enrolls with
    slots: tuple[Slot, ...]  # requests under way, at most two; the last member says whether the device still waits


def is_of_use(world: "CopiesWorld", s: Copies, generation: int) -> bool:
    """Tell whether a copy is accepted: below the floor at check-ins only, with its key, while it may move."""
    return generation in s.device and (generation >= s.floor or (world.keyed and s.running > 0))


def permission(world: "CopiesWorld", rules: Rules, s: Copies) -> int:
    """The generation that may be handed out, by a reading of PairingToken and TokenRotation; 0: none."""
    k = s.running - 1
    if not s.running or s.state[k] != RUNNING or s.order[k] != "Running":
        return 0
    return 0 if world.is_left(rules, k) else k + 2


def decided(
    world: "CopiesWorld", rules: Rules, s: Copies, g: int, allowed: int, reading: tuple[int, int]
) -> tuple[tuple[int, int] | None, int, int]:
    """What the exchange does with a copy of generation g: what it writes, and its answer (status, copy)."""
    c, o = reading
    below = g < s.floor and not (world.keyed and rules.key_still_checks_in)
    if s.revoked or g not in (c, o) or below:
        return None, 401, 0
    if g == o:  # proof of use
        return ((o, 0), 204, 0) if g >= s.floor or rules.revoked_offer_is_proved else (None, 401, 0)
    if o and (rules.one_offer_at_a_time or allowed <= o):
        return None, 200, o  # handed out already: the same copy again, without a write
    if allowed > c:
        if not rules.records_before_answer:
            return None, 200, allowed
        return ((c, allowed) if rules.keeps_old_until_proof else (allowed, 0)), 200, allowed
    return None, (204 if g >= s.floor or s.running else 401), 0


def enrolled_again(rules: Rules, s: Copies) -> tuple[tuple[int, int] | None, int]:
    """What the exchange does when the key enrolls again by the present value: what it writes, and the copy."""
    c, o = s.device
    if c >= s.floor or not rules.enrolls_with_accepted:
        return None, c
    return (None, o) if o else ((c, s.gen), s.gen)


@dataclass(frozen=True, slots=True)
class CopiesWorld:
    """One device. What there is beside it is a choice."""

    keyed: bool = True  # its copies are bound to its key
    compromised: tuple[bool, bool] = (False, False)  # reason: Compromised
    immediate: tuple[bool, bool] = (False, False)  # oldToken: RevokeImmediately
    thief: bool = False
    reenrolls: bool = False  # it may enroll again with its key, if no copy that it holds is of use
    loses_disk: bool = False
    rotations: int = 2
    revocable: bool = True  # a person may revoke the Device, at generation 2
    witnesses: tuple[Callable[[Copies], bool], ...] = ()

    @property
    def start(self) -> Copies:
        return Copies(
            device=(1, 0),
            before=(1, 0),
            revoked=False,
            gen=1,
            floor=0,
            running=0,
            order=("Running", "Running"),
            state=(NONE, NONE),
            old=1,
            new=0,
            ram=0,
            stolen=int(self.thief),
            lost=False,
            slots=(),
        )

    def is_served(self, s: Copies) -> bool:
        """Tell whether a copy that the device holds is of use."""
        return any(is_of_use(self, s, g) for g in {s.old, s.new} - {0})

    def is_left(self, rules: Rules, k: int) -> bool:
        """Tell whether the rotation leaves the device where it is: Failed, NeedsReenrolment."""
        return self.compromised[k] and not self.keyed and rules.moves_no_keyless

    def steps(self, rules: Rules, s: Copies) -> Iterator[Any]:
        for k in range(self.rotations):
            yield from _control(self, rules, s, k)
        if s.running and s.state[s.running - 1] == FINAL:
            yield s._replace(running=0)
        if (
            self.revocable and not s.revoked and s.gen == 2
        ):  # once is enough to see what it does to everything under way
            yield s._replace(revoked=True)
        yield from _device_steps(self, rules, s)
        yield from _thief_steps(self, rules, s)
        for slot in sorted(set(s.slots)):
            rest = list(s.slots)
            rest.remove(slot)
            without = s._replace(slots=tuple(rest))
            yield without  # its process dies, or its answer is lost
            yield from _REQUEST[slot[0]](self, rules, s, without, slot)
        if s.before != s.device:
            yield s._replace(before=s.device)  # a second passes

    def representative(self, _: Rules, s: Copies) -> Copies:
        return s

    def check(self, _: Rules, s: Copies) -> Iterator[Broken]:
        held = {s.old, s.new} - {0}
        # A person's RevokeImmediately ends every copy without a key, and the others when it is aborted.
        ended = s.floor > max(held, default=0) and not (self.keyed and s.running)
        if not (s.revoked or s.lost or ended or self.is_served(s)):
            yield Broken("LOCKED OUT: no copy that the device holds is accepted")
        if max(held, default=0) > max(s.device):
            yield Broken("UNKNOWN: a device holds a copy that is not on record")
        if sum(state in (RUNNING, CLOSING) for state in s.state) > 1:
            yield Broken("OVERLAP: two rotations of one token run")
        if any(self.compromised[k] and s.stolen == k + 2 for k in (0, 1)):
            yield Broken("STOLEN: a thief got the new copy in a rotation for a compromise")

    def check_step(self, rules: Rules, s: Copies, t: Copies) -> Iterator[Broken]:
        if t.device[0] < s.device[0]:
            yield Broken("PROOF: what was proved is taken back")
        if max(t.device) < max(s.device):
            yield Broken("OFFER: what was handed out ends, though nothing newer is proved")
        if self.keyed and s.running and not s.revoked and t.slots != s.slots:
            refused = {slot[1] for slot in set(t.slots) - set(s.slots) if slot[0] == "answer" and slot[2] == 401}
            if any(g in s.device and g in s.before for g in refused & {s.old, s.new}):
                yield Broken("REFUSED: a copy of the record is refused though its key is proved")

    def good(self, s: Copies) -> bool:
        """Somebody who waits long enough is here: the newest is proved, or a person has stopped it for good."""
        if s.revoked or (s.device[0] == s.gen and self.is_served(s)):
            return True
        stopped = NONE not in s.state[: self.rotations] and s.running == 0
        return stopped and (not self.keyed or (s.device[0] >= s.floor and self.is_served(s)))


def _control(world: CopiesWorld, rules: Rules, s: Copies, k: int) -> Iterator[Copies]:
    generation = k + 2
    if s.state[k] == NONE and s.gen == generation - 1:
        may_start = s.running == 0 and (k == 0 or s.state[0] == FINAL)
        if may_start or (not rules.one_rotation_at_a_time and k == 1 and s.state[0] >= RUNNING):
            # One swap of PairingToken.status: the lock, the generation, the floor, and the end of the old value.
            floor = generation if world.immediate[k] else s.floor
            yield s._replace(gen=generation, running=k + 1, floor=floor)
    if s.state[k] == NONE and s.gen >= generation and s.running == k + 1:
        yield s._replace(state=put(s.state, k, RUNNING))  # a crash in between: the next leader goes on here
    if s.state[k] in (NONE, RUNNING) and s.order[k] != "Aborted":
        yield s._replace(order=put(s.order, k, "Aborted"))
    if s.state[k] == RUNNING:
        yield s._replace(state=put(s.state, k, CLOSING))  # an abort, or the deadline
        if s.device[0] >= generation or s.revoked:
            yield _final(rules, s, k)
    if s.state[k] == CLOSING:
        # A device in progress may finish, or has had its time. Who read the rotation earlier has had it, too.
        straggler = any(slot[0] in ("decides", "writes") and slot[2] == generation for slot in s.slots)
        if not straggler or not rules.waits_for_stragglers:
            yield _final(rules, s, k)


def _final(rules: Rules, s: Copies, k: int) -> Copies:
    generation, (c, o) = k + 2, s.device
    if not rules.abort_keeps_offers and o == generation:
        o = 0
    if not rules.abort_keeps_proofs and s.order[k] == "Aborted" and c == generation:
        c = generation - 1
    return _store(s._replace(state=put(s.state, k, FINAL)), (c, o))


def _device_steps(world: CopiesWorld, rules: Rules, s: Copies) -> Iterator[Any]:
    if any(slot[-1] for slot in s.slots):  # it gives up on the answer, or crashes, which is the same: the disk stays
        kept = [(*slot[:-1], False) for slot in s.slots if slot[0] != "answer"]
        yield s._replace(ram=0, slots=tuple(sorted(kept)))
        return
    if s.ram:
        yield s._replace(ram=0)
        yield _kept(rules, s, s.ram)._replace(ram=0)
    if len(s.slots) < MOST_REQUESTS:
        for g in {s.old, s.new} - {0}:  # whichever it likes: safety does not depend on trying the new one first
            yield _with(s, ("asked", g, True))
            if not s.slots:
                yield _with(_with(s, ("asked", g, True)), ("asked", g, False))  # the network delivers it twice
            if not rules.success_is_use and s.ram:
                yield _with(s, ("reports", g, s.ram, True))
    if world.reenrolls and not s.revoked:
        if world.loses_disk:
            yield s._replace(old=0, new=0, lost=True)  # its disk is lost, its key is not
        if not world.is_served(s):
            yield from _enrolls_again(rules, s)


def _enrolls_again(rules: Rules, s: Copies) -> Iterator[Any]:
    want, copy = enrolled_again(rules, s)
    if copy < s.floor and copy != s.device[1]:
        yield Broken("INACTIVE: who enrolls again gets a copy that is revoked, and no offer stands in the way")
    stored = s if want is None or not _guarded(rules, s, want) else _store(s, want)
    if want is None or stored.device == want:
        yield stored  # its answer is lost
        yield stored._replace(old=copy, new=0)


def _thief_steps(world: CopiesWorld, rules: Rules, s: Copies) -> Iterator[Copies]:
    """A thief has the copy and not the key: where copies have a key, it is refused before anything is read."""
    if not s.stolen or world.keyed:
        return
    want, _, copy = decided(world, rules, s, s.stolen, permission(world, rules, s), s.device)
    if want is None or _guarded(rules, s, want):
        stored = s if want is None else _store(s, want)
        yield stored._replace(stolen=max(s.stolen, copy))


def _asked(world: CopiesWorld, rules: Rules, s: Copies, without: Copies, slot: Slot) -> Iterator[Copies]:
    permissions = {permission(world, rules, s)}
    if not rules.reads_permission_fresh:
        permissions |= {k + 2 for k in (0, 1) if s.state[k] >= RUNNING}
    for allowed in permissions:
        yield _with(without, ("decides", slot[1], allowed, slot[-1]))


def _decides(world: CopiesWorld, rules: Rules, s: Copies, without: Copies, slot: Slot) -> Iterator[Any]:
    _, g, allowed, awaited = slot
    if s.floor <= g <= s.device[0]:
        yield _with(without, ("answer", g, 204, 0, awaited))  # g was proved once: all that an old reading says
    for reading in sorted({s.device, s.before}):
        used = s.device if rules.rereads_when_behind and g > max(reading) else reading
        want, code, copy = decided(world, rules, s, g, allowed, used)
        if want is None:
            yield _with(without, ("answer", g, code, copy, awaited))
        elif not rules.conditional_writes:
            yield _with(without, ("writes", g, allowed, want, code, copy, awaited))
        elif used == s.device and not s.revoked:
            # Read, decide and compare-and-swap are one step: if the object was changed in between, nothing is written,
            # and it is read and decided again.
            yield from _written(rules, without, want, ("answer", g, code, copy, awaited))


def _writes(_: CopiesWorld, rules: Rules, __: Copies, without: Copies, slot: Slot) -> Iterator[Any]:
    _name, g, _allowed, want, code, copy, awaited = slot
    yield from _written(rules, without, want, ("answer", g, code, copy, awaited))


def _reports(_: CopiesWorld, rules: Rules, __: Copies, without: Copies, slot: Slot) -> Iterator[Any]:
    yield from _written(rules, without, (slot[2], 0), ("answer", slot[1], 204, 0, slot[-1]))


def _answer(_: CopiesWorld, rules: Rules, __: Copies, s: Copies, slot: Slot) -> Iterator[Copies]:
    _name, g, code, copy, _awaited = slot
    if code == 401:
        yield s._replace(new=0) if not rules.device_keeps_refused and g == s.new and s.old else s
        return
    if g == s.new:
        s = s._replace(old=s.new, new=0)
    if code == 200 and copy > max(s.old, s.new):
        s = _kept(rules, s, copy) if rules.success_is_use else s._replace(ram=copy)
    yield s


_REQUEST: dict[str, Callable[[CopiesWorld, Rules, Copies, Copies, Slot], Iterator[Any]]] = {
    "asked": _asked,
    "decides": _decides,
    "writes": _writes,
    "reports": _reports,
    "answer": _answer,
}


def _guarded(rules: Rules, s: Copies, want: tuple[int, int]) -> bool:
    """Tell whether the API server stores this status: see `device_rules.py`."""
    c, o = s.device
    return not rules.schema_guards or want == ((o, 0) if o else (c, want[1]))


def _written(rules: Rules, s: Copies, want: tuple[int, int], answer: Slot) -> Iterator[Any]:
    if not _guarded(rules, s, want):
        return  # the API server refuses it; the device is answered 503
    if max(want) > max(s.device):
        if s.state[max(want) - 2] == FINAL:
            yield Broken("STOPPED: a device starts after the rotation has said that it is over")
        if max(want) != s.gen:
            yield Broken("ORDER: a device is given a generation that is not the present one")
    elif want[0] <= s.device[0] and max(want) == max(s.device):
        yield Broken("WRITES: a write that says nothing new")
    yield _with(_store(s, want), answer)


def _with(s: Copies, slot: Slot) -> Copies:
    if slot[0] == "answer" and not slot[-1]:
        return s  # nobody waits for it
    return s._replace(slots=tuple(sorted((*s.slots, slot))))


def _kept(rules: Rules, s: Copies, copy: int) -> Copies:
    """Store a copy before it is used; an older unproved one makes place for it."""
    return s._replace(new=copy) if rules.device_keeps_old else s._replace(old=0, new=copy)


def _store(s: Copies, device: tuple[int, int]) -> Copies:
    return s if device == s.device else s._replace(device=device, before=s.device)
