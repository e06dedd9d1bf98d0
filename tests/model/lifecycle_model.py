"""What happens to the objects while requests are under way: a person, the controller, a holder who revokes.

Each step is taken at any time or never; a controller that takes none is one that is down. Whoever names the version
that was read has read and written as if at one instant, so such a write is one step. It is more where the records of
retained master tokens are ended in between, and where a mistaken protocol does not name the version.
"""

from collections.abc import Iterator
from typing import Literal

from tests.model.objects import Fact, Pairing, Plan, Protocol, Retained, State, World, store

_REVOKING = ("revoke", "nothing")
Who = Literal["controller", "holder"]


def people(world: World, state: State) -> Iterator[State]:
    """Edit spec, as far as the API server's rules allow, delete the object, and make it anew."""
    scenario, pairing = world.scenario, state.pairing
    if pairing is None:
        if state.objects < scenario.objects:
            made = state.objects + 1
            yield store(world, state, Pairing(uid=made))._replace(objects=made)
        return
    if scenario.orders and not pairing.ordered:
        ordered = Fact("ordered", pairing.uid, pairing.serial)
        yield store(world, state, pairing._replace(ordered=True), ordered)
    if pairing.serial < scenario.serials and _may_rise(world.protocol, pairing):
        raised = Fact("raised", pairing.uid, pairing.serial)
        yield store(world, state, pairing._replace(serial=pairing.serial + 1, ordered=False), raised)
    if pairing.deleting:
        yield store(world, state, None)
    elif scenario.deletes:
        yield store(world, state, pairing._replace(deleting=True), Fact("deleted", pairing.uid))


def _may_rise(protocol: Protocol, pairing: Pairing) -> bool:
    """CEL: "the controller has not recorded the revocation yet"."""
    return not pairing.ordered or pairing.state == "Revoked" or not protocol.serial_waits_for_record


def controller(world: World, state: State) -> Iterator[State]:
    """Reconcile."""
    pairing = state.pairing
    what = next_step(pairing, retains=world.scenario.retains) if pairing is not None else None
    if what is None and pairing is not None and world.protocol.reopens_unfinished and _is_unfinished(state, pairing):
        what = "reopen"
    yield from _act(world, state, "controller", what)


def next_step(pairing: Pairing, *, retains: bool) -> str | None:
    """Say what `domain.issuance.next_step` says: an order to revoke stands before a serial to issue."""
    ends = pairing.ordered or (pairing.deleting and not retains)
    if ends and (pairing.state, pairing.issued) != ("Revoked", pairing.serial):
        return "revoke"
    if pairing.deleting:
        return None
    return "issue" if pairing.issued < pairing.serial else None


def _is_unfinished(state: State, pairing: Pairing) -> bool:
    redemption = pairing.redemption if pairing.state == "Used" else None
    return redemption is not None and redemption.master not in {master.name for master in state.masters}


def holder(world: World, state: State) -> Iterator[State]:
    """Revoke by possession (RFC 7009): whoever holds the present token writes the record, and no order stands in spec.

    What is revoked already is answered like what has just been revoked.
    """
    pairing, what = state.pairing, None
    if world.scenario.revokes and pairing is not None and not pairing.deleting and not pairing.ordered:
        revoked = pairing.state == "Revoked" and pairing.issued == pairing.serial
        reported = Fact("acknowledged", pairing.uid, pairing.serial) in state.facts
        if revoked and not reported:
            what = "nothing"
        elif not revoked and pairing.serial > pairing.through and holder_may_revoke(world.protocol, pairing):
            what = "revoke"
    yield from _act(world, state, "holder", what)


def holder_may_revoke(protocol: Protocol, pairing: Pairing) -> bool:
    """Say what `domain.revocation.holder_may_revoke` says: a Used token ends nothing (S29)."""
    return protocol.used_is_revocable or (pairing.state, pairing.issued) != ("Used", pairing.serial)


def _act(world: World, state: State, who: Who, what: str | None) -> Iterator[State]:
    plan: Plan | None = getattr(state, who)
    if plan is not None:
        yield from _go_on(world, state, who, plan)
        yield _planning(state, who, None)  # it dies; the next one begins anew
    elif what is not None:
        for awaiting in _to_be_ended_before(world, state, who, what):
            plan = Plan(what, awaiting)
            at_one_instant = world.protocol.controller_swaps and not awaiting
            yield from _go_on(world, state, who, plan) if at_one_instant else [_planning(state, who, plan)]


def _go_on(world: World, state: State, who: Who, plan: Plan) -> Iterator[State]:
    """End a record that is to be ended before, if it is there; after the last, write."""
    for name in plan.awaiting:
        masters = {master._replace(ended=True) if master.name == name else master for master in state.masters}
        left = plan._replace(awaiting=plan.awaiting - {name})
        yield _planning(state._replace(masters=frozenset(masters)), who, left)
    if plan.awaiting:
        return
    if plan.after or state.pairing is None:
        facts = state.facts | {plan.reports} if plan.reports else state.facts
        yield _planning(state._replace(facts=facts), who, None)
        return
    if who == "holder" and plan.what == "revoke" and not holder_may_revoke(world.protocol, state.pairing):
        yield _planning(state, who, None)  # the swap conflicts with the redemption, and the next read decides
        return
    written = _WRITES[plan.what](world, state, state.pairing)
    later = _to_be_ended_after(world, written, who, plan.what)
    said = Fact("acknowledged", state.pairing.uid, state.pairing.serial) if plan.what in _REVOKING else None
    # What a holder is told is the answer; what others are told is the record itself.
    waits = who == "holder" and world.scenario.retains and bool(later)
    if said is not None and not waits:
        written = written._replace(facts=written.facts | {said})
    yield _planning(
        written, who, Plan(plan.what, later, after=True, reports=said if waits else None) if later else None
    )


def _planning(state: State, who: Who, plan: Plan | None) -> State:
    return state._replace(controller=plan) if who == "controller" else state._replace(holder=plan)


def _to_be_ended_before(world: World, state: State, who: Who, what: str) -> list[frozenset[str]]:
    """Return the records that are ended before the write; more than one answer where that is a matter of luck."""
    if not world.scenario.retains or what != "revoke":
        return [frozenset()]
    redeemed, there = _redeemed(state), _there(state)
    seen = [frozenset(), there]  # a watch may be behind
    match world.protocol.retained:
        case Retained.LISTED:
            return [redeemed | there]
        case Retained.WATCHED if who == "controller":
            return seen
        case Retained.NAMED if who == "controller":
            return [redeemed | names for names in seen]
        case _:
            return [frozenset()]


def _to_be_ended_after(world: World, state: State, who: Who, what: str) -> frozenset[str]:
    if what not in _REVOKING:
        return frozenset()
    if not world.protocol.writes_through:
        return _there(state)
    match world.protocol.retained if world.scenario.retains else None:
        case Retained.AFTER:
            return _there(state)
        case Retained.LISTED if who == "holder":
            return _redeemed(state) | _there(state)
        case _:
            return frozenset()


def _redeemed(state: State) -> frozenset[str]:
    """The name of the master token of the present redemption, which need not be there yet."""
    redemption = state.pairing.redemption if state.pairing is not None else None
    return frozenset({redemption.master} if redemption else ())


def _there(state: State) -> frozenset[str]:
    uid = state.pairing.uid if state.pairing is not None else 0
    return frozenset(master.name for master in state.masters if master.uid == uid and not master.ended)


def revoked(protocol: Protocol, pairing: Pairing) -> Pairing:
    """Write what `domain.revocation.revoking_changes` writes: also a serial that was never issued can be revoked."""
    keeps = pairing.issued == pairing.serial and protocol.revocation_keeps_redemption
    return pairing._replace(
        state="Revoked",
        issued=pairing.serial,
        redemption=pairing.redemption if keeps else None,
        through=max(pairing.serial, pairing.through) if protocol.writes_through else pairing.through,
    )


def _revoke(world: World, state: State, pairing: Pairing) -> State:
    return store(world, state, revoked(world.protocol, pairing))


def _issue(world: World, state: State, pairing: Pairing) -> State:
    protocol = world.protocol
    issued = pairing._replace(
        state="Active",
        issued=pairing.serial,
        redemption=None if protocol.issue_drops_redemption else pairing.redemption,
        through=pairing.through if protocol.issue_keeps_through else 0,
    )
    return store(world, state, issued)


def _nothing(_: World, state: State, __: Pairing) -> State:
    return state


def _reopen(world: World, state: State, pairing: Pairing) -> State:
    return store(world, state, pairing._replace(state="Active", redemption=None))


_WRITES = {"revoke": _revoke, "issue": _issue, "reopen": _reopen, "nothing": _nothing}
