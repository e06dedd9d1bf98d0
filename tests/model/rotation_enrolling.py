"""Keys enroll while a rotation starts and finishes, and while their PairingToken is revoked and issues a new serial.

Devices are deleted, and answers are lost. The question: are there never too many, is nobody left behind or cut off, and
does a revocation end whoever enrolled by what it ends?

A value is (serial, generation). A place that was reserved is given up when nobody can still be about to create the
Device (ten minutes).

States that differ in nothing that anybody can see are one state here, so that all of them can be visited:

- A compare-and-swap names the version that was read. When the status changes, a swap that is under way can only fail,
  which is the same as to read again; and a count by a list that is under way is thrown away, as if it had never begun.
- Which Devices the watch has shown is kept for the mistake that finishes by it. Everybody else reads.
- The keys are alike: a state and the one with two of them exchanged are one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.model.rotation_rules import Broken, Rules, put

MOST = 2  # maxDevices
NO_VALUE = (0, 0)

Value = tuple[int, int]


class Made(NamedTuple):
    """A Device that exists."""

    name: str
    serial: int
    first: int  # spec.generation
    c: int  # the generation that it has proved


class Enrolling(NamedTuple):
    serial: int  # PairingToken.spec.serial
    through: int  # PairingToken.status.revokedThrough, or the serial that spec.revoked ends
    gen: int  # PairingToken.status.generation
    floor: int  # only for the mistake: generations below it are ended as a whole
    devices: int  # PairingToken.status.devices: how many are counted
    reserved: frozenset[tuple[str, int]]  # PairingToken.status.enrolling: (device, generation)
    secret: Value  # the value that a person can copy from the Secret
    objects: frozenset[Made]
    view: frozenset[str]  # only for the mistake: the Devices that the controller has seen at all
    rotation: str  # "", Started, Running, Succeeded
    copies: tuple[int, ...]  # the copies that the keys hold; 0: nothing yet
    values: tuple[Value, ...]  # the value that each was given
    asking: tuple[Any, ...]  # the request of each: ("read" | "swap" | "create" | "answer", ...)
    recount: int | None  # a list of the present status is under way, and has found so many; -1: nothing yet


@dataclass(frozen=True, slots=True)
class EnrollingWorld:
    """The keys that enroll. "z" is a device that is there from the start."""

    keys: tuple[str, ...] = ("x", "y")
    revokes: bool = False  # a person revokes the PairingToken, and raises its serial
    recounts: bool = True
    deletes: bool = False  # a person deletes any Device, and not only "z"
    witnesses: tuple[Callable[[Enrolling], bool], ...] = ()

    @property
    def start(self) -> Enrolling:
        n = len(self.keys)
        made = frozenset({Made("z", 1, 1, 1)})
        return Enrolling(
            serial=1,
            through=0,
            gen=1,
            floor=0,
            devices=1,
            reserved=frozenset(),
            secret=(1, 1),
            objects=made,
            view=frozenset({"z"}),
            rotation="",
            copies=(0,) * n,
            values=(NO_VALUE,) * n,
            asking=(None,) * n,
            recount=None,
        )

    def steps(self, rules: Rules, s: Enrolling) -> Iterator[Enrolling]:
        for t in self._steps(rules, s):
            yield t if version(t) == version(s) else _after_a_write(rules, t)

    def representative(self, rules: Rules, s: Enrolling) -> Enrolling:
        """Put the keys in an order, by what there is of each."""
        if rules.finishes_by_list:
            s = s._replace(view=frozenset())
        places = sorted(range(len(self.keys)), key=lambda i: self._all_of(s, i))
        if places == list(range(len(self.keys))):
            return s
        renamed = {self.keys[place]: name for name, place in zip(self.keys, places, strict=True)}
        return s._replace(
            reserved=frozenset((renamed[name], generation) for name, generation in s.reserved),
            objects=frozenset(made._replace(name=renamed.get(made.name, made.name)) for made in s.objects),
            view=frozenset(renamed.get(name, name) for name in s.view),
            copies=tuple(s.copies[place] for place in places),
            values=tuple(s.values[place] for place in places),
            asking=tuple(s.asking[place] for place in places),
        )

    def _all_of(self, s: Enrolling, i: int) -> tuple[Any, ...]:
        name = self.keys[i]
        made = found(s, name)
        reserved = sorted(generation for one, generation in s.reserved if one == name)
        return s.values[i], s.copies[i], s.asking[i] or (), reserved, made[1:] if made else (), name in s.view

    def _steps(self, rules: Rules, s: Enrolling) -> Iterator[Enrolling]:
        for i, name in enumerate(self.keys):
            given = s.values[i]
            made = found(s, name)
            without = made is None or not lives(s, made)
            if given == NO_VALUE or (given != s.secret and s.asking[i] is None and without):
                yield s._replace(values=put(s.values, i, s.secret))  # a person brings it the present value
            if given != NO_VALUE and s.copies[i] == 0 and s.asking[i] is None:
                yield s._replace(asking=put(s.asking, i, ("read",)))
            if s.asking[i] is not None:
                yield s._replace(asking=put(s.asking, i, None))  # crash, or the answer is lost
                yield from _enroll(rules, s, i, name)
        yield from _places(self, rules, s)
        yield from _people(self, s)
        yield from _rotation(self, rules, s)

    def check(self, _: Rules, s: Enrolling) -> Iterator[Broken]:
        if len(s.objects) > MOST:
            yield Broken("LIMIT: more devices than maxDevices")
        for i, name in enumerate(self.keys):
            made = found(s, name)
            if s.copies[i] and made is not None and lives(s, made) and s.copies[i] < max(made.c, s.floor):
                yield Broken("LOCKED OUT: no copy that the device holds is accepted")
        if s.rotation == "Succeeded" and any(made.c < 2 and lives(s, made) for made in s.objects):
            yield Broken("LEFT BEHIND: the rotation says Succeeded, and a device has an older copy")

    def check_step(self, _: Rules, s: Enrolling, t: Enrolling) -> Iterator[Broken]:
        if any(generation < s.gen for _, generation in t.reserved - s.reserved):
            yield Broken("OLD VALUE: a place is taken by a value after its end")
        for i, name in enumerate(self.keys):
            serial, _ = s.values[i]
            if any(one == name for one, _ in t.reserved - s.reserved) and serial <= s.through:
                yield Broken("REVOKED: a place is taken by a value that is revoked")
            made = found(t, name)
            if made is not None and found(s, name) is None and serial != made.serial:
                yield Broken("REVIVED: a device does not end with the value by which it enrolled")

    def good(self, s: Enrolling) -> bool:
        """The rotation is over, and whoever has a Device can have its copy; or all are revoked, and it is over."""
        waiting = [found(s, name) for i, name in enumerate(self.keys) if s.copies[i] == 0]
        return s.rotation == "Succeeded" and not any(made is not None and lives(s, made) for made in waiting)


def found(s: Enrolling, name: str) -> Made | None:
    return next((made for made in s.objects if made.name == name), None)


def lives(s: Enrolling, made: Made) -> bool:
    """Tell whether a Device is not ended by a revocation of its PairingToken: `Target.has_revoked`."""
    return made.serial > s.through


def version(s: Enrolling) -> tuple[Any, ...]:
    """What a compare-and-swap of the PairingToken's status compares (in the code: resourceVersion)."""
    return s.serial, s.through, s.gen, s.devices, s.reserved


def _after_a_write(rules: Rules, s: Enrolling) -> Enrolling:
    """The PairingToken was written: no swap that is under way can succeed, and no count by a list is stored."""
    asking = s.asking
    if rules.reserves_by_swap and rules.swap_checks_generation:
        asking = tuple(("read",) if step is not None and step[0] == "swap" else step for step in asking)
    return s._replace(asking=asking, recount=None)


def decided(rules: Rules, s: Enrolling, name: str, value: Value, *, held: int) -> tuple[Any, ...]:
    """What the exchange does with a value that a key presents, by a reading of the PairingToken and its Device."""
    made = found(s, name)
    present = value == (s.serial, s.gen)
    if rules.obeys_revocation and value[0] <= s.through:
        return ("refused", "revoked")
    if made is not None and not lives(s, made):
        return ("refused", "device revoked")
    if made is not None:
        never_used = made.first == made.c and held == 0  # it has never checked in
        by_first = value == (made.serial, made.first) and never_used and rules.late_retry_by_old_value
        if present or by_first:
            return ("answer", made.c)  # the same key: the same device
    if not present and rules.swap_checks_generation:
        return ("refused", "replaced")
    if any(one == name for one, _ in s.reserved):
        return ("create",)
    if s.devices + len(s.reserved) < MOST or (not rules.reserves_by_swap and len(s.objects) < MOST):
        return ("swap",)
    return ("refused", "full")


def _enroll(rules: Rules, s: Enrolling, i: int, name: str) -> Iterator[Enrolling]:
    value, step = s.values[i], s.asking[i]

    def then(stage: Any, **changes: Any) -> Enrolling:
        return s._replace(asking=put(s.asking, i, stage), **changes)

    match step[0]:
        case "read":
            decision = decided(rules, s, name, value, held=s.copies[i])
            stages = {
                "answer": ("answer", decision[-1]),
                "create": ("create", value),
                "swap": ("swap", value),
            }
            yield then(stages.get(decision[0]))  # None: it is refused
        case "swap" if not rules.reserves_by_swap:
            yield then(("create", value))
        case "swap":
            # For the mistake a swap succeeds while there is a place, whatever was written meanwhile.
            if rules.swap_checks_generation or s.devices + len(s.reserved) < MOST:
                yield then(("create", value), reserved=s.reserved | {(name, value[1])})
            else:
                yield then(("read",))
        case "create":
            yield from _create(rules, s, name, value, then)
        case "answer":
            if found(s, name) is not None:
                yield then(None, copies=put(s.copies, i, step[1]))


def _create(rules: Rules, s: Enrolling, name: str, value: Value, then: Callable[..., Enrolling]) -> Iterator[Enrolling]:
    made = found(s, name)
    if made is not None:
        yield then(("answer", made.c) if lives(s, made) else None)
    elif any(one == name for one, _ in s.reserved) or not (rules.reserves_by_swap and rules.keeps_places):
        # A reservation that was given up meanwhile is ten minutes old; nobody creates by it then.
        serial = value[0] if rules.carries_serial_of_value else s.serial
        made = Made(name, serial, value[1], value[1])
        yield then(("answer", made.c), objects=s.objects | {made})
    else:
        yield then(("read",))


def _places(world: EnrollingWorld, rules: Rules, s: Enrolling) -> Iterator[Enrolling]:
    """What the controller does with `enrolling` and with the count."""
    for name, generation in sorted(s.reserved):
        rest = s.reserved - {(name, generation)}
        if found(s, name) is not None:
            yield s._replace(reserved=rest, devices=s.devices + 1)  # counted, in one swap
        elif (s.asking[world.keys.index(name)] or ("",))[0] != "create" or not rules.keeps_places:
            yield s._replace(reserved=rest)  # ten minutes old, and no Device: the place is free again
    if s.recount is None and s.devices > 0 and world.recounts:
        yield s._replace(recount=-1)
    elif s.recount == -1:
        reserved = {name for name, _ in s.reserved}
        listed = sum(made.name not in reserved for made in s.objects)
        yield s._replace(recount=listed)  # a consistent list, sent after the PairingToken was read
    elif s.recount is not None:
        yield s._replace(recount=None, devices=s.recount)


def _people(world: EnrollingWorld, s: Enrolling) -> Iterator[Enrolling]:
    for made in sorted(s.objects):
        if made.name not in s.view:
            yield s._replace(view=s.view | {made.name})  # the watch delivers
    if found(s, "z") is not None and s.gen == 2:
        without = frozenset(made for made in s.objects if made.name != "z")
        yield s._replace(objects=without, view=s.view - {"z"})  # a person deletes it
    for made in sorted(s.objects) if world.deletes else ():
        if made.name in world.keys:
            yield s._replace(objects=s.objects - {made}, view=s.view - {made.name})
    if world.revokes and s.through == 0:
        yield s._replace(through=1)
    if world.revokes and s.serial == 1:
        yield s._replace(serial=2)  # a new value, also without a revocation
    if world.revokes and s.secret[0] < s.serial:
        yield s._replace(secret=(s.serial, s.gen))  # the Secret follows


def _rotation(world: EnrollingWorld, rules: Rules, s: Enrolling) -> Iterator[Enrolling]:
    if s.rotation == "":
        yield s._replace(rotation="Started", gen=2)  # one swap
    if s.rotation == "Started":
        yield s._replace(rotation="Running", secret=(s.serial, 2))
    if s.rotation != "Running":
        return
    for made in sorted(s.objects):
        held = made.c if made.name == "z" else s.copies[world.keys.index(made.name)]
        if made.c < 2 and held == made.c and lives(s, made):  # whoever holds a copy can be moved by it
            moved = s.objects - {made} | {made._replace(c=2)}
            copies = s.copies if made.name == "z" else put(s.copies, world.keys.index(made.name), 2)
            yield s._replace(objects=moved, copies=copies)
    members = [made for made in s.objects if lives(s, made) or not rules.waits_for_the_living]
    by_view = all(made.c >= 2 for made in members if made.name in s.view)
    by_list = all(made.c >= 2 for made in members) and all(generation >= 2 for _, generation in s.reserved)
    if by_list if rules.finishes_by_list else by_view:
        floor = s.floor if rules.ends_per_device else 2
        yield s._replace(rotation="Succeeded", floor=floor)
