"""The exchange's part of the model: one request, from the first read to the answer (design.md, services/redeem.py).

    start --> swap --> create --+--> check --> check master --> send --> done
      |       |  ^              |                                ^
      |       |  |              +--------------------------------+   not retained: its object is asked at each use
      |       v  |
      |       look --> create -----> check ...   no answer, or a conflict: read anew, and never un-redeem
      +-----> resume ------------->  check ...   redeemed by this very key

The dry run before the swap is no step here: it changes nothing, and what it finds out only ends a request or does not.

A process that dies is one that takes no further step: nothing waits for another, so every place is one to die at, and
an answer that is lost on its way to the client is one that is never sent. What costs a fault is a write whose answer
is lost: it was done, it was not done, or it is done at any later time.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from tests.model.objects import (
    DONE,
    MARKER,
    Client,
    Delivery,
    Landing,
    LastReads,
    Master,
    Pairing,
    Protocol,
    Redemption,
    Request,
    Silence,
    State,
    World,
    ended_by_pairing,
    is_over,
    is_superseded,
    store,
)


class Step(NamedTuple):
    """One possible next state of one request, and of everything else."""

    request: Request
    state: State
    faults: int = 0


Steps = Iterator[Step]
Decision = Literal["refuse", "wait", "redeem"] | Redemption


def steps(world: World, index: int, state: State) -> Iterator[State]:
    """Yield what one request may do next."""
    client, request = world.scenario.clients[index], state.requests[index]
    if request == DONE:
        return
    for step in _STEPS[request.at](world, client, request, state):
        if step.faults <= state.faults_left:
            requests = list(step.state.requests)
            requests[index] = step.request
            yield step.state._replace(requests=tuple(requests), faults_left=state.faults_left - step.faults)


def decide(protocol: Protocol, client: Client, pairing: Pairing | None) -> Decision:
    """Say what `domain.redemption.decide` says, rule by rule."""
    if pairing is None or (protocol.compares_uid and pairing.uid != client.uid):
        return "refuse"
    if (pairing.deleting and protocol.obeys_deletion) or (pairing.ordered and protocol.obeys_order):
        return "refuse"
    if protocol.demands_spec_serial and pairing.serial != client.serial:
        return "refuse"
    if protocol.demands_status_serial and pairing.issued > client.serial:
        return "refuse"
    if client.serial <= pairing.through or (pairing.state == "Revoked" and pairing.issued == client.serial):
        return "refuse"
    if pairing.state == "Pending" or (protocol.demands_status_serial and pairing.issued < client.serial):
        return "wait"
    if pairing.state == "Active":
        return "redeem"
    return _resumed(protocol, client, pairing.redemption)


def _resumed(protocol: Protocol, client: Client, redemption: Redemption | None) -> Decision:
    if redemption is None:
        return "refuse"
    same_key = redemption.key == client.key and protocol.same_key_resumes
    return redemption if same_key or redemption == own_redemption(client) else "refuse"


def _start(world: World, client: Client, request: Request, state: State) -> Steps:
    """The first read. Where it is refused, nothing has happened: the request might as well not have come yet."""
    decision = decide(world.protocol, client, state.pairing)
    late = is_superseded(state, client) or is_over(state, client)
    if decision == "redeem":
        yield Step(Request(_first_step(world.protocol), late), state)
    elif isinstance(decision, Redemption):
        yield Step(Request("resume", late, redemption=decision), state)


def _first_step(protocol: Protocol) -> str:
    if protocol.creates_first:
        return "create first"
    return "mark" if protocol.marks_another_object else "swap"


def _swap(world: World, client: Client, request: Request, state: State) -> Steps:
    if state.pairing is None:
        yield Step(DONE, state)
        return
    late = _arrived(world, client, request, state)
    redemption = own_redemption(client)
    used = store(world, state, state.pairing._replace(state="Used", redemption=redemption))
    yield Step(Request("create", late, swapped=True, redemption=redemption), used)
    silent = Request(_after_silence(world.protocol), late, redemption=redemption)
    yield Step(silent, used, faults=1)
    yield Step(silent, state, faults=1)
    yield Step(silent, state._replace(in_flight=state.in_flight | {Landing(client.serial, redemption)}), faults=1)


def _arrived(world: World, client: Client, request: Request, state: State) -> bool:
    """A reading answers requests that come in after it was sent: at the latest, the request comes in only now."""
    return request.late or (world.protocol.shares_readings and is_over(state, client))


def _after_silence(protocol: Protocol) -> str:
    return {Silence.LOOK: "look", Silence.FAILURE: "un-redeem", Silence.SUCCESS: "create"}[protocol.silence]


def _look(world: World, client: Client, request: Request, state: State) -> Steps:
    decision = decide(world.protocol, client, state.pairing)
    late = _arrived(world, client, request, state)
    if decision == "redeem":
        yield Step(Request("swap", late), state)
    elif isinstance(decision, Redemption):
        yield Step(Request("create", late, redemption=decision), state)
    else:
        yield Step(DONE, state)


def _un_redeem(world: World, client: Client, request: Request, state: State) -> Steps:
    if state.pairing is not None:
        state = store(world, state, state.pairing._replace(state="Active", redemption=None))
    yield Step(DONE, state)


def _resume(world: World, client: Client, request: Request, state: State) -> Steps:
    yield from _create(world, client, request._replace(late=_arrived(world, client, request, state)), state)


def _create(world: World, client: Client, request: Request, state: State) -> Steps:
    assert request.redemption is not None
    name = request.redemption.master if world.protocol.named_from_redemption else own_redemption(client).master
    at = "check" if reads_again(world, request) else "send"
    checking = Request(at, request.late, redemption=request.redemption, master=name)
    if any(master.name == name for master in state.masters):
        yield Step(checking, state)
        return
    master = Master(name, request.redemption.key, client.uid, client.serial)
    yield Step(checking, state._replace(masters=state.masters | {master}))


def reads_again(world: World, request: Request) -> bool:
    """Say what `domain.redemption.last_read_is_needed` says."""
    match world.protocol.last_reads:
        case LastReads.NEEDED:
            return world.scenario.retains or not request.swapped
        case LastReads.UNLESS_SWAPPED:
            return not request.swapped
        case last_reads:
            return last_reads is LastReads.ALWAYS


def _check(world: World, client: Client, request: Request, state: State) -> Steps:
    """The last read but one. What it finds is judged together with what the last one finds."""
    pairing = state.pairing
    good = pairing is not None and pairing.state == "Used" and pairing.redemption == request.redemption
    if pairing is None or not good or (pairing.deleting and world.protocol.obeys_deletion):
        yield Step(DONE, state)
        return
    recorded = next(master for master in state.masters if master.name == request.master)
    ended = ended_by_pairing(world, recorded, pairing, by_spec=world.protocol.obeys_order_at_last)
    yield Step(DONE if ended else request._replace(at="check master"), state)


def _check_master(world: World, client: Client, request: Request, state: State) -> Steps:
    recorded = next(master for master in state.masters if master.name == request.master)
    yield Step(DONE if recorded.ended else request._replace(at="send"), state)


def _send(world: World, client: Client, request: Request, state: State) -> Steps:
    delivery = Delivery(client.uid, client.serial, client.key, request.master, request.late)
    yield Step(DONE, state._replace(delivered=state.delivered | {delivery}))


def _create_first(world: World, client: Client, request: Request, state: State) -> Steps:
    master = Master(own_redemption(client).master, client.key, client.uid, client.serial)
    at = "swap" if request.fits else "look"
    yield Step(request._replace(at=at, fits=True), state._replace(masters=state.masters | {master}))


def _mark(world: World, client: Client, request: Request, state: State) -> Steps:
    if any(master.name == MARKER for master in state.masters):
        yield Step(DONE, state)
        return
    marker = Master(MARKER, client.key, client.uid, client.serial, ended=True)
    yield Step(
        request._replace(at="create", redemption=own_redemption(client)),
        state._replace(masters=state.masters | {marker}),
    )


def landings(world: World, state: State) -> Iterator[State]:
    """A swap that is under way is done at any later time: where it fits, which `store` sees to."""
    for landing in state.in_flight:
        if state.pairing is not None:
            used = state.pairing._replace(state="Used", redemption=landing.redemption)
            landed = store(world, state, used)
            yield landed._replace(in_flight=landed.in_flight - {landing})


def own_redemption(client: Client) -> Redemption:
    """What a request writes, in every try the same."""
    return Redemption(client.key, f"m{client.number}")


_STEPS: dict[str, Callable[[World, Client, Request, State], Steps]] = {
    "start": _start,
    "swap": _swap,
    "look": _look,
    "un-redeem": _un_redeem,
    "resume": _resume,
    "create": _create,
    "check": _check,
    "check master": _check_master,
    "send": _send,
    "create first": _create_first,
    "mark": _mark,
}
