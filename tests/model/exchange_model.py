"""Every interleaving of the exchange protocol (design.md), on an API server with optimistic concurrency.

Clients send requests to different replicas while somebody revokes. A process may die around every write, a write may
be applied or not with its answer lost either way, or land late; the answer to a client may be lost. Each of these
costs one fault of a budget. A protocol is a value, so that its plausible mistakes can be tried beside it.

    start -> read -> swap -> create -> check -> send -> done
                      |  ^
                      v  |
                     silence (no answer: read again, and never un-claim)
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Silence(Enum):
    """What a replica makes of a swap that was not answered."""

    LOOK = "read again"
    FAILURE = "take it for not done, and un-claim"
    SUCCESS = "take it for done"


@dataclass(frozen=True, slots=True)
class Protocol:
    """The choices of a protocol. The defaults are ours."""

    swaps: bool = True  # the write names the version that was read
    reads_fresh: bool = True  # no cache stands between
    creates_first: bool = False  # the master token before the claim
    marks_another_object: bool = False  # single use on an object that revocation does not touch
    silence: Silence = Silence.LOOK
    same_key_resumes: bool = True
    named_from_claim: bool = True  # the same claim always means the same master token
    reads_again: bool = True  # before the answer
    leaves_tombstone: bool = True  # revoking covers a master token that is yet to be created


class Claim(NamedTuple):
    key: str
    master: str


class Pairing(NamedTuple):
    version: int
    state: str
    claim: Claim | None


class Master(NamedTuple):
    name: str
    key: str
    revoked: bool


class Client(NamedTuple):
    """One request: `number` makes what it invents unique, `key` is what it proves."""

    number: str
    key: str


class Request(NamedTuple):
    """Where a request is, and what it carries from step to step."""

    at: str
    seen: Pairing | None = None
    claim: Claim | None = None
    master: str = ""


class Stored(NamedTuple):
    """What the API server holds, and swaps that are still under way to it."""

    pairing: Pairing
    masters: frozenset[Master]
    in_flight: frozenset[tuple[int, Claim]]


class Step(NamedTuple):
    """One possible next state of one process."""

    request: Request
    stored: Stored
    delivered: str = ""
    faults: int = 0


class State(NamedTuple):
    """Everything."""

    requests: tuple[Request, ...]
    revoker: str
    stored: Stored
    faults_left: int
    delivered: frozenset[tuple[str, str]]  # key and master token


DONE, DEAD = Request("done"), Request("dead")
START = Pairing(1, "Active", None)
MARKER = "marker"

TWO_OF_ONE_KEY_AND_ONE_OTHER = (Client("1", "A"), Client("2", "A"), Client("3", "B"))
THREE_KEYS = (Client("1", "A"), Client("2", "B"), Client("3", "C"))

Steps = Iterator[Step]


def _start(protocol: Protocol, _: Client, __: Request, stored: Stored) -> Steps:
    yield Step(Request("read", seen=stored.pairing), stored)
    if not protocol.reads_fresh:
        yield Step(Request("read", seen=START), stored)


def _read(protocol: Protocol, client: Client, request: Request, stored: Stored) -> Steps:
    assert request.seen is not None
    if request.seen.state == "Used":
        yield Step(_resumed(protocol, client, request.seen), stored)
    elif request.seen.state == "Revoked":
        yield Step(DONE, stored)
    elif protocol.creates_first:
        yield Step(request._replace(at="create first"), stored)
    elif protocol.marks_another_object:
        yield Step(request._replace(at="mark"), stored)
    else:
        yield Step(request._replace(at="swap"), stored)


def _resumed(protocol: Protocol, client: Client, pairing: Pairing) -> Request:
    same = pairing.claim is not None and pairing.claim.key == client.key
    return Request("create", claim=pairing.claim) if same and protocol.same_key_resumes else DONE


def _swap(protocol: Protocol, client: Client, request: Request, stored: Stored) -> Steps:
    assert request.seen is not None
    claim = Claim(client.key, _own_master(client))
    claimed = request._replace(at="create", claim=claim)
    if protocol.swaps and stored.pairing.version != request.seen.version:
        yield Step(Request("conflict"), stored)
        return
    used = stored._replace(pairing=Pairing(stored.pairing.version + 1, "Used", claim))
    silent = request._replace(at="silence", claim=claim)
    late = stored._replace(in_flight=stored.in_flight | {(request.seen.version, claim)})
    yield Step(claimed, used)
    yield Step(silent, used, faults=1)
    yield Step(silent, stored, faults=1)
    yield Step(silent, late, faults=1)
    yield Step(DEAD, used, faults=1)


def _conflict(protocol: Protocol, client: Client, _: Request, stored: Stored) -> Steps:
    used = stored.pairing.state == "Used"
    yield Step(_resumed(protocol, client, stored.pairing) if used else DONE, stored)


def _silence(protocol: Protocol, _: Client, request: Request, stored: Stored) -> Steps:
    assert request.seen is not None
    pairing = stored.pairing
    if protocol.silence is Silence.FAILURE:
        yield Step(DONE, stored._replace(pairing=Pairing(pairing.version + 1, "Active", None)))
    elif protocol.silence is Silence.SUCCESS or (pairing.state == "Used" and pairing.claim == request.claim):
        yield Step(request._replace(at="create"), stored)
    elif pairing.version == request.seen.version:
        yield Step(request._replace(at="swap"), stored)
    else:
        yield Step(Request("conflict"), stored)


def _create(protocol: Protocol, client: Client, request: Request, stored: Stored) -> Steps:
    assert request.claim is not None
    name = request.claim.master if protocol.named_from_claim else _own_master(client)
    checking = Request("check", claim=request.claim, master=name)
    if any(master.name == name for master in stored.masters):
        yield Step(checking, stored)
        return
    created = stored._replace(masters=stored.masters | {Master(name, request.claim.key, revoked=False)})
    yield Step(checking, created)
    yield Step(DEAD, created, faults=1)
    yield Step(DEAD, stored, faults=1)


def _check(protocol: Protocol, _: Client, request: Request, stored: Stored) -> Steps:
    found = [master for master in stored.masters if master.name == request.master]
    mine = stored.pairing.state == "Used" and stored.pairing.claim == request.claim
    good = mine and bool(found) and not found[0].revoked
    yield Step(request._replace(at="send") if good or not protocol.reads_again else DONE, stored)


def _send(_: Protocol, __: Client, request: Request, stored: Stored) -> Steps:
    yield Step(DONE, stored, delivered=request.master)
    yield Step(DONE, stored, faults=1)  # the answer is lost


def _create_first(_: Protocol, client: Client, request: Request, stored: Stored) -> Steps:
    created = stored._replace(masters=stored.masters | {Master(_own_master(client), client.key, revoked=False)})
    yield Step(request._replace(at="swap"), created)
    yield Step(DEAD, created, faults=1)


def _mark(_: Protocol, client: Client, request: Request, stored: Stored) -> Steps:
    if any(master.name == MARKER for master in stored.masters):
        yield Step(DONE, stored)
        return
    marked = stored._replace(masters=stored.masters | {Master(MARKER, client.key, revoked=False)})
    yield Step(Request("create", claim=Claim(client.key, _own_master(client))), marked)


def _own_master(client: Client) -> str:
    return f"m{client.number}"


_STEPS: dict[str, Callable[[Protocol, Client, Request, Stored], Steps]] = {
    "start": _start,
    "read": _read,
    "swap": _swap,
    "conflict": _conflict,
    "silence": _silence,
    "create": _create,
    "check": _check,
    "send": _send,
    "create first": _create_first,
    "mark": _mark,
}


def _revoked(protocol: Protocol, stored: Stored) -> Stored:
    """Revoke what is there, and leave a tombstone for what is claimed and yet to come."""
    masters = {master if master.name == MARKER else master._replace(revoked=True) for master in stored.masters}
    claim = stored.pairing.claim
    if protocol.leaves_tombstone and claim is not None:
        masters.add(Master(claim.master, claim.key, revoked=True))
    return stored._replace(masters=frozenset(masters))


def _successors(protocol: Protocol, clients: tuple[Client, ...], state: State) -> Iterator[State]:
    yield from _landings(state)
    yield from _revocations(protocol, state)
    for index, client in enumerate(clients):
        request = state.requests[index]
        if request in (DONE, DEAD):
            continue
        for step in _STEPS[request.at](protocol, client, request, state.stored):
            if step.faults > state.faults_left:
                continue
            delivered = {(client.key, step.delivered)} if step.delivered else set()
            yield state._replace(
                requests=(*state.requests[:index], step.request, *state.requests[index + 1 :]),
                stored=step.stored,
                faults_left=state.faults_left - step.faults,
                delivered=state.delivered | delivered,
            )


def _landings(state: State) -> Iterator[State]:
    """A swap that is under way lands, or is dropped, at any later time."""
    stored = state.stored
    for landing in stored.in_flight:
        version, claim = landing
        fits = stored.pairing.version == version
        pairing = Pairing(version + 1, "Used", claim) if fits else stored.pairing
        yield state._replace(stored=stored._replace(pairing=pairing, in_flight=stored.in_flight - {landing}))


def _revocations(protocol: Protocol, state: State) -> Iterator[State]:
    stored = state.stored
    if state.revoker == "start":
        pairing = Pairing(stored.pairing.version + 1, "Revoked", stored.pairing.claim)
        yield state._replace(revoker="masters", stored=stored._replace(pairing=pairing))
    elif state.revoker == "masters":
        yield state._replace(revoker="done", stored=_revoked(protocol, stored))


def _violations(state: State, before: State) -> Iterator[str]:
    masters = [master for master in state.stored.masters if master.name != MARKER]
    live = {master.name for master in masters if not master.revoked}
    if len({master for _, master in state.delivered}) > 1:
        yield "I1: two different master tokens were delivered"
    if len({key for key, _ in state.delivered}) > 1:
        yield "I2: master tokens were delivered to two keys"
    if len(live) > 1:
        yield "I3: two master tokens are live at once"
    if state.revoker == "done" and {master for _, master in state.delivered - before.delivered} & live:
        yield "I4: a live master token was delivered after the revocation"
    if all(request in (DONE, DEAD) for request in state.requests) and not state.stored.in_flight:
        yield from _violations_at_rest(state, live)


def _violations_at_rest(state: State, live: set[str]) -> Iterator[str]:
    claim = state.stored.pairing.claim
    if live - {claim.master if claim else ""}:
        yield "I3: a live master token that no claim names"
    if state.revoker == "done" and live:
        yield "I4: a live master token is left after the revocation"


class Explored(NamedTuple):
    """What was found: how many states there are, which violations, and what clients can have received."""

    states: int
    violations: frozenset[str]
    delivered: frozenset[frozenset[tuple[str, str]]]


def explore(protocol: Protocol, *, faults: int, clients: Iterable[Client] = TWO_OF_ONE_KEY_AND_ONE_OTHER) -> Explored:
    """Visit every state that can be reached with at most so many faults."""
    clients = tuple(clients)
    stored = Stored(START, frozenset(), frozenset())
    first = State(tuple(Request("start") for _ in clients), "start", stored, faults, frozenset())
    seen, waiting, violations = {first}, deque([first]), set()
    while waiting:
        state = waiting.popleft()
        for successor in _successors(protocol, clients, state):
            violations.update(_violations(successor, state))
            if successor not in seen:
                seen.add(successor)
                waiting.append(successor)
    return Explored(len(seen), frozenset(violations), frozenset(state.delivered for state in seen))
