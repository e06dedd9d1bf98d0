"""What the model of the exchange protocol is made of: what is stored, who is at work, and the choices of a protocol.

A protocol is a value, so that its plausible mistakes can be tried beside it; a scenario says what may happen to it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Silence(Enum):
    """What a replica makes of a swap that was not answered."""

    LOOK = "read again"
    FAILURE = "take it for not done, and un-redeem"
    SUCCESS = "take it for done"


class LastReads(Enum):
    """When a request reads the PairingToken and the master token again, between its create and its answer."""

    NEEDED = "unless its own swap was answered, and the master token ends with its PairingToken"
    ALWAYS = "in every case"
    UNLESS_SWAPPED = "unless its own swap was answered, also if the master token is retained"
    NEVER = "in no case"


class Retained(Enum):
    """Which records of master tokens that outlive their object are ended when it is revoked, and when."""

    NAMED = "the redeemed one, and those that a watch has seen, before; a holder ends none: its token is not redeemed"
    LISTED = "those that a list finds, before; a holder ends those once more after"
    WATCHED = "those that a watch has seen, before"
    AFTER = "those that are there, after"


@dataclass(frozen=True, slots=True)
class Protocol:
    """The choices of a protocol. The defaults are ours."""

    # The exchange: how it claims,
    swaps: bool = True  # the write names the version that was read
    creates_first: bool = False  # the master token before the redemption
    marks_another_object: bool = False  # single use on an object that revocation does not touch
    silence: Silence = Silence.LOOK
    same_key_resumes: bool = True
    named_from_redemption: bool = True  # the same redemption always means the same master token
    # what it demands when it reads,
    shares_readings: bool = True  # a request may be answered from a reading that was sent before it came in
    compares_uid: bool = True
    demands_spec_serial: bool = True
    demands_status_serial: bool = True
    obeys_order: bool = True  # spec.revoked, at the first read
    obeys_deletion: bool = True  # deletionTimestamp, at the first read and at the last
    # and what it demands when it reads again, before the answer.
    last_reads: LastReads = LastReads.NEEDED
    obeys_order_at_last: bool = True
    # Whoever judges a master token.
    judges_by_spec: bool = True
    judges_by_uid: bool = True
    judges_by_existence: bool = True
    # The controller, who shares the status with the exchange, and the rule on spec.serial.
    controller_swaps: bool = True
    serial_waits_for_record: bool = True  # CEL: a serial that is to be revoked is recorded before it rises
    issue_drops_redemption: bool = True
    issue_keeps_through: bool = True
    revocation_keeps_redemption: bool = True
    used_is_revocable: bool = False  # a holder of a Used token revokes the trust (S29)
    writes_through: bool = True  # status.revokedThrough; else only revocation records, for what is there
    reopens_unfinished: bool = False  # a redemption without a master token is taken back
    retained: Retained = Retained.NAMED


class Redemption(NamedTuple):
    key: str
    master: str


class Pairing(NamedTuple):
    """The PairingToken under the one name that there is, without its resourceVersion: see `Request.fits`."""

    uid: int
    serial: int = 1  # spec.serial
    ordered: bool = False  # spec.revoked
    deleting: bool = False  # metadata.deletionTimestamp
    state: str = "Pending"
    issued: int = 0  # status.serial
    redemption: Redemption | None = None
    through: int = 0  # status.revokedThrough


class Master(NamedTuple):
    name: str
    key: str
    uid: int
    serial: int
    ended: bool = False  # in its own record


class Client(NamedTuple):
    """One request: `number` makes what it invents unique, `key` is what it proves, the rest is what it presents."""

    number: str
    key: str
    uid: int = 1
    serial: int = 1


class Request(NamedTuple):
    """Where a request is, and what it carries from step to step."""

    at: str
    late: bool = False  # it came in when what it presents was over
    fits: bool = True  # nobody has written since it read: its swap would be done
    swapped: bool = False  # its own swap was done, and it has the answer
    redemption: Redemption | None = None
    master: str = ""


class Landing(NamedTuple):
    """A swap that nobody waits for any more, and that may still be done."""

    serial: int
    redemption: Redemption


class Plan(NamedTuple):
    """What the controller, or a holder who revokes, is about to write: `awaiting` are the records to be ended before.

    `after` is a plan that only ends records: what it followed from is written. Then it `tells` that it is done.
    """

    what: str
    awaiting: frozenset[str] = frozenset()
    after: bool = False
    reports: "Fact | None" = None


class Fact(NamedTuple):
    """What is so for ever: ordered, acknowledged or raised (a serial, and all before it), or deleted (a uid)."""

    what: str
    uid: int
    serial: int = 0


class Delivery(NamedTuple):
    uid: int
    serial: int
    key: str
    master: str
    late: bool  # to a request that came in when what it presented was over


class State(NamedTuple):
    """Everything: processes, objects, and below them what has happened, which no process looks at."""

    requests: tuple[Request, ...]
    controller: Plan | None
    holder: Plan | None
    pairing: Pairing | None
    objects: int  # how many have had the name
    masters: frozenset[Master]
    in_flight: frozenset[Landing]
    faults_left: int
    delivered: frozenset[Delivery] = frozenset()
    claims: frozenset[tuple[int, int, Redemption]] = frozenset()  # by uid and serial
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who asks, and what may happen meanwhile, at any time or never."""

    clients: tuple[Client, ...]
    faults: int = 0  # answers to a swap that are lost
    orders: bool = False  # a person sets spec.revoked
    revokes: bool = False  # a holder revokes by possession (RFC 7009)
    serials: int = 1  # as far as a person raises spec.serial
    objects: int = 1  # how often there is an object of this name
    deletes: bool = False
    retains: bool = False  # deletionPolicy: Retain


class World(NamedTuple):
    protocol: Protocol
    scenario: Scenario


DONE = Request("done")
MARKER = "marker"


def ended_by_pairing(world: World, master: Master, pairing: Pairing | None, *, by_spec: bool) -> bool:
    """Tell whether the object that a master token came from has ended it: existence, spec, record, in this order."""
    protocol, retains = world.protocol, world.scenario.retains
    if pairing is None:
        return protocol.judges_by_existence and not retains
    if pairing.uid != master.uid and protocol.judges_by_uid:
        return not retains
    if pairing.deleting and protocol.judges_by_existence and not retains:
        return True
    if pairing.ordered and master.serial <= pairing.serial and by_spec:
        return True
    return master.serial <= pairing.through


def is_valid(world: World, master: Master, pairing: Pairing | None) -> bool:
    """Judge a master token as introspection does."""
    return not master.ended and not ended_by_pairing(world, master, pairing, by_spec=world.protocol.judges_by_spec)


def is_over(state: State, client: Client) -> bool:
    """Tell whether what a client presents was ended by somebody, at any time until now. A raise is looked at apart."""
    return any(
        fact.uid == client.uid and (fact.what == "deleted" or fact.serial >= client.serial)
        for fact in state.facts
        if fact.what != "raised"
    )


def is_superseded(state: State, client: Client) -> bool:
    """Tell whether a higher serial stands in the spec."""
    return Fact("raised", client.uid, client.serial) in state.facts


def store(world: World, state: State, pairing: Pairing | None, *facts: Fact) -> State:
    """Store the object as a new version: who has read an earlier one is behind from now on, and loses its swap."""
    protocol = world.protocol
    requests = tuple(_behind(protocol, request) for request in state.requests)
    claims = state.claims
    if pairing is not None and pairing.redemption is not None:
        claims |= {(pairing.uid, pairing.issued, pairing.redemption)}
    return state._replace(
        requests=requests,
        controller=_still_planned(protocol, state.controller),
        holder=_still_planned(protocol, state.holder),
        pairing=pairing,
        in_flight=frozenset() if protocol.swaps else state.in_flight,
        claims=claims,
        facts=state.facts.union(facts),
    )


def _behind(protocol: Protocol, request: Request) -> Request:
    if not protocol.swaps or request.at not in ("swap", "create first"):
        return request
    return Request("look", request.late) if request.at == "swap" else request._replace(fits=False)


def _still_planned(protocol: Protocol, plan: Plan | None) -> Plan | None:
    return plan if plan is None or plan.after or not protocol.controller_swaps else None
