"""What must hold in every state that can be reached, by name."""

from collections.abc import Iterator

from tests.model.objects import MARKER, Fact, Master, Pairing, State, World, is_valid

RANK = {state: rank for rank, state in enumerate(("Pending", "Active", "Used", "Revoked"))}


def violations(world: World, before: State, after: State) -> Iterator[str]:
    """Yield the name of each invariant that the step from one state to the next has broken, or has left broken."""
    if after.delivered is not before.delivered:
        yield from _of_deliveries(after)
    if (
        after.masters is not before.masters
        or after.pairing is not before.pairing
        or after.delivered != before.delivered
    ):
        yield from _of_masters(world, after)
    if after.pairing is not before.pairing and after.pairing is not None and before.pairing is not None:
        yield from _of_a_write(before.pairing, after)


def _of_deliveries(state: State) -> Iterator[str]:
    first: dict[tuple[int, int], tuple[str, str]] = {}
    for uid, serial, key, master, late in state.delivered:
        known_key, known_master = first.setdefault((uid, serial), (key, master))
        if master != known_master:
            yield "I1: two master tokens were delivered for one serial"
        if key != known_key:
            yield "I2: master tokens of one serial were delivered to two keys"
        if late:
            yield "I4: a token was redeemed by a request that came in after the token was over"


def _of_masters(world: World, state: State) -> Iterator[str]:
    held = {delivery.master for delivery in state.delivered}
    for master in state.masters:
        if master.name == MARKER or not is_valid(world, master, state.pairing):
            continue
        if (master.uid, master.serial, (master.key, master.name)) not in state.claims:
            yield "I3: a master token is valid that no redemption names"
        fact = _ended_by(world, state, master)
        if fact is None:
            continue
        if not world.scenario.retains:
            yield f"I5: a master token is valid though its object is {fact.what}"
        if master.name in held:
            yield f"I6: a master token that somebody holds is valid though its object is {fact.what}"


def _ended_by(world: World, state: State, master: Master) -> Fact | None:
    """Return what has ended a master token for ever.

    With deletionPolicy Retain a deletion does not, and an order counts while its object stands, or once acknowledged.
    """
    for fact in state.facts:
        if fact.uid != master.uid or fact.what == "raised":
            continue
        if fact.what == "deleted":
            if not world.scenario.retains:
                return fact
            continue
        stands = state.pairing is not None and state.pairing.uid == master.uid
        if fact.serial >= master.serial and (fact.what == "acknowledged" or stands or not world.scenario.retains):
            return fact
    return None


def _of_a_write(old: Pairing, state: State) -> Iterator[str]:
    new = state.pairing
    assert new is not None
    if new.uid != old.uid:
        return
    if new.issued < old.issued or new.through < old.through or new.serial < old.serial:
        yield "I8: serial or revokedThrough was lowered"
    if new.issued == old.issued:
        if old.redemption is not None and new.redemption != old.redemption:
            yield "I7: a redemption was lost or changed while its serial stands"
        if RANK[new.state] < RANK[old.state]:
            yield "I8: the state went back within a serial"
        if (old.state, new.state) == ("Used", "Revoked") and not (old.ordered or old.deleting):
            yield "S29: the holder of a Used token revoked its trust"
    if new.redemption is not None and new.redemption != old.redemption and new.issued < new.serial:
        yield "I9: a token was accepted after the next serial was ordered"
