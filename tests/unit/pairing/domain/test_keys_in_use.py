"""Which signing keys may not leave the keyring: those that a live token names."""

from datetime import timedelta

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.connections.domain.slots import keys_of_connection_configuration
from tallystick.fleet.api.device import DEVICES
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.tokens import keys_of_master_token, keys_of_pairing_token
from tallystick.registry import KINDS
from tallystick.schema.times import rfc3339
from tests.builders import (
    UID,
    a_master_token,
    a_pairing_token,
    a_redemption,
    issued_status,
    raw_master_token,
    raw_pairing_token,
    used_status,
)
from tests.fakes import NOON
from tests.worlds.connection_world import a_connection, a_token, raw_connection

YEAR = timedelta(days=365)


def raw_device(**status):
    """A Device that has proved its second copy, and has an offer of the third."""
    return {
        "metadata": {"name": "d-1", "namespace": "edge", "uid": UID, "creationTimestamp": rfc3339(NOON)},
        "spec": {"serial": 1, "generation": 1, "kid": "k0", "projectKey": "fleet01"},
        "status": {
            "state": "Active",
            "generation": 2,
            "kid": "k4",
            "offer": {"generation": 3, "rotation": "rot-1", "tokenID": UID, "kid": "k5", "time": rfc3339(NOON)},
        }
        | status,
    }


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(a_pairing_token(), set(), id="not issued"),
        pytest.param(a_pairing_token(status=issued_status(kid="k1")), {"k1"}, id="Active"),
        pytest.param(
            a_pairing_token(status=used_status(kid="k1", redemption=a_redemption(kid="k2"))),
            {"k1", "k2"},
            id="Used: its own, for it may be shown again, and the redemption's",
        ),
        pytest.param(a_pairing_token(status=issued_status(state="Expired", kid="k1")), set(), id="Expired"),
        pytest.param(a_pairing_token(status=used_status(state="Revoked", kid="k1")), set(), id="Revoked"),
    ],
)
def test_a_pairing_token_needs_the_keys_of_what_can_still_be_answered(token, expected):
    assert keys_of_pairing_token(token, NOON) == expected


def test_a_pairing_token_that_is_over_needs_no_key():
    token = a_pairing_token(status=used_status(redemption=a_redemption(kid="k2")))
    assert token.status.expiration_time is not None

    assert keys_of_pairing_token(token, token.status.expiration_time) == set()


@pytest.mark.parametrize(
    ("token", "now", "expected"),
    [
        pytest.param(a_master_token(kid="k1"), NOON, {"k1"}, id="in force"),
        pytest.param(a_master_token(kid="k1", revoked=True), NOON, set(), id="revoked in spec"),
        pytest.param(a_master_token(kid="k1", status={"state": "Revoked"}), NOON, set(), id="revoked in status"),
        pytest.param(a_master_token(kid="k1"), NOON + YEAR, set(), id="expired"),
        pytest.param(a_master_token(kid="k1"), NOON + YEAR - timedelta(seconds=1), {"k1"}, id="its last second"),
    ],
)
def test_a_master_token_needs_its_key_while_it_is_in_force(token, now, expected):
    assert keys_of_master_token(token, now) == expected


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param([], set(), id="not issued"),
        pytest.param([a_token(kid="k1", state="Pending")], {"k1"}, id="Pending: it is in the Secret before it counts"),
        pytest.param([a_token(kid="k1")], {"k1"}, id="Active"),
        pytest.param([a_token("b", 2, kid="k2"), a_token("a", 1, kid="k1")], {"k1", "k2"}, id="two"),
        pytest.param(
            [a_token("b", 2, kid="k2"), a_token("a", 1, kid="k1", state="Revoked")], {"k2"}, id="one is revoked"
        ),
        pytest.param([a_token(kid="k1", state="Revoked")], set(), id="all are revoked"),
    ],
)
def test_r22_a_connection_configuration_needs_the_keys_of_its_active_tokens_permanently(tokens, expected):
    assert keys_of_connection_configuration(a_connection(status={"lastSerial": 2, "tokens": tokens})) == expected


def test_each_kind_whose_objects_name_keys_is_looked_at():
    objects = {
        PAIRING_TOKENS: raw_pairing_token(status=issued_status(kid="k1")),
        MASTER_TOKENS: raw_master_token(kid="k2"),
        CONNECTION_CONFIGURATIONS: raw_connection(status={"lastSerial": 1, "tokens": [a_token(kid="k3")]}),
        DEVICES: raw_device(),
    }

    signing_keys = {kind.resource: kind.signing_keys for kind in KINDS if kind.signing_keys is not None}

    assert signing_keys.keys() == objects.keys()
    assert [signing_keys[kind](body, NOON) for kind, body in objects.items()] == [{"k1"}, {"k2"}, {"k3"}, {"k4", "k5"}]
    assert signing_keys[DEVICES](raw_device(state="Revoked"), NOON) == set()
    assert signing_keys[CONNECTION_CONFIGURATIONS](objects[CONNECTION_CONFIGURATIONS], NOON + 100 * YEAR) == {"k3"}
