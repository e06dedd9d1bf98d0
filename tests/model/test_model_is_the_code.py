"""The model decides as the code does: both are asked about every object that the model has met."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tallystick.pairing.api.master_token import MasterToken
from tallystick.pairing.api.pairing_token import PairingToken
from tallystick.pairing.domain import issuance, redemption
from tallystick.pairing.domain.revocation import holder_may_revoke as code_holder_may_revoke
from tallystick.pairing.domain.revocation import revoking_changes
from tallystick.pairing.domain.tokens import pairing_token_id
from tallystick.pairing.domain.validity import revoked_by_pairing
from tests.builders import (
    OTHER_THUMBPRINT,
    OTHER_UID,
    THUMBPRINT,
    UID,
    a_master_token,
    a_pairing_token,
    a_redemption,
    issued_status,
)
from tests.fakes import NOON
from tests.model.exchange_model import decide, own_redemption, reads_again
from tests.model.exploration import explore
from tests.model.lifecycle_model import holder_may_revoke, next_step, revoked
from tests.model.objects import (
    Client,
    Master,
    Pairing,
    Protocol,
    Redemption,
    Request,
    Scenario,
    World,
    ended_by_pairing,
)

OURS = Protocol()
UIDS = {1: UID, 2: OTHER_UID}
KEYS = {"A": THUMBPRINT, "B": OTHER_THUMBPRINT}
CLIENTS = [
    Client(number, key, uid, serial) for number, key in ("1A", "2A", "3B") for uid in (1, 2) for serial in (1, 2)
]
SCENARIOS = (
    Scenario((Client("1", "A"), Client("3", "B", serial=2)), orders=True, revokes=True, serials=2, deletes=True),
    Scenario((Client("2", "A"), Client("3", "B", uid=2)), orders=True, revokes=True, deletes=True, objects=2),
)


@pytest.fixture(scope="module")
def met() -> list[Pairing]:
    """Every object that is met."""
    states = (state for scenario in SCENARIOS for state in explore(OURS, scenario).came_from)
    return sorted({state.pairing for state in states if state.pairing is not None}, key=repr)


def test_who_may_redeem_is_decided_alike(met: list[Pairing]) -> None:
    for pairing in met:
        for client in CLIENTS:
            assert _decided(decide(OURS, client, pairing)) == _decided(_asked(pairing, client)), (pairing, client)


@pytest.mark.parametrize("retains", [False, True])
def test_what_has_ended_a_master_token_is_decided_alike(met: list[Pairing], retains: bool) -> None:
    world = World(OURS, Scenario((), retains=retains))
    for pairing in (*met, None):
        for master in _masters():
            ended = ended_by_pairing(world, master, pairing, by_spec=True)

            real = _token(pairing) if pairing is not None else None
            assert revoked_by_pairing(_real(master, retains=retains), real) is ended, (pairing, master)


@pytest.mark.parametrize("retains", [False, True])
def test_what_the_controller_does_next_is_decided_alike(met: list[Pairing], retains: bool) -> None:
    steps = {issuance.Revoke: "revoke", issuance.Issue: "issue"}
    for pairing in met:
        seen = issuance.Input(_token(pairing, retains=retains), secret=None, expected_digest=None, now=NOON)

        assert steps.get(type(issuance.next_step(seen))) == next_step(pairing, retains=retains), pairing


def test_whether_a_holder_may_revoke_is_decided_alike(met: list[Pairing]) -> None:
    for pairing in met:
        may = code_holder_may_revoke(_token(pairing), serial=pairing.serial)

        assert may is holder_may_revoke(OURS, pairing), pairing


def test_what_a_revocation_writes_is_alike(met: list[Pairing]) -> None:
    for pairing in met:
        token, wanted = _token(pairing), revoked(OURS, pairing)

        status = token.status.model_copy(update=revoking_changes(token, serial=token.spec.serial, now=NOON))

        written = (
            status.state,
            status.serial,
            status.revoked_through,
            status.redemption and status.redemption.redemption_id,
        )
        named = wanted.redemption and wanted.redemption.master
        assert written == (wanted.state, wanted.issued, wanted.through, named), pairing


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("retains", [False, True])
def test_when_a_request_reads_again_before_its_answer_is_decided_alike(retains: bool, swapped: bool) -> None:
    world = World(OURS, Scenario((), retains=retains))
    spec = _real(Master("m1", "A", 1, 1), retains=retains).spec

    needed = redemption.last_read_is_needed(spec, swapped=swapped)
    assert needed is reads_again(world, Request("create", swapped=swapped))


def test_enough_is_met(met: list[Pairing]) -> None:
    assert {(pairing.uid, pairing.serial) for pairing in met} == {(1, 1), (1, 2), (2, 1)}
    assert {pairing.state for pairing in met} == {"Pending", "Active", "Used", "Revoked"}
    assert {(pairing.ordered, pairing.deleting) for pairing in met} == {
        (a, b) for a in (False, True) for b in (False, True)
    }


def _masters() -> Iterator[Master]:
    return (Master("m1", "A", uid, serial) for uid in (1, 2) for serial in (1, 2))


def _asked(pairing: Pairing, client: Client) -> redemption.Decision:
    uid = UIDS[client.uid]
    presented = redemption.Presented(
        token_id=pairing_token_id(uid, client.serial),
        uid=uid,
        serial=client.serial,
        expires=int((NOON + timedelta(seconds=60)).timestamp()),
        key_thumbprint=KEYS[client.key],
    )
    return redemption.decide(_token(pairing), presented, now=NOON, own_redemption=own_redemption(client).master)


def _decided(decision: object) -> str:
    """Say a decision of either in the model's words; a redemption by its name."""
    match decision:
        case redemption.Resume(found):
            return found.redemption_id
        case Redemption(_, master):
            return master
        case str():
            return decision
        case _:
            return type(decision).__name__.lower()


def _token(pairing: Pairing, *, retains: bool = False) -> PairingToken:
    uid = UIDS[pairing.uid]
    status: dict[str, Any] = {}
    if pairing.issued:
        status = issued_status(serial=pairing.issued, state=pairing.state, uid=uid)
    if pairing.through:
        status["revokedThrough"] = pairing.through
    if pairing.redemption:
        status["redemption"] = a_redemption(
            redemptionID=pairing.redemption.master, clientKeyThumbprint=KEYS[pairing.redemption.key]
        )
    policy = {"deletionPolicy": "Retain" if retains else "Revoke"}
    spec = {"serial": pairing.serial, "revoked": pairing.ordered, "masterToken": policy}
    return a_pairing_token(uid=uid, deleting=pairing.deleting, status=status or None, **spec)


def _real(master: Master, *, retains: bool) -> MasterToken:
    return a_master_token(
        pairingTokenRef={"name": "press-1", "uid": UIDS[master.uid]},
        serial=master.serial,
        deletionPolicy="Retain" if retains else "Revoke",
    )
