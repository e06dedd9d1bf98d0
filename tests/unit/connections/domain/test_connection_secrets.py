"""The Secret of a ConnectionConfiguration is a function of what is on record (R27-R29, R7, S22)."""

import base64

import pytest

from tallystick.connections.domain.secret import connection_secret
from tests.builders import ISSUER, UID
from tests.worlds.connection_world import STANDING, a_connection, a_token

JWTS = {f"id-{serial}": f"jwt-{serial}" for serial in range(1, 5)}


def a_secret(*tokens, ca_pem=None, **spec):
    status = {"lastSerial": 9, "tokens": list(tokens)}
    return connection_secret(a_connection(status=status, **spec), JWTS, base_url=ISSUER, ca_pem=ca_pem)


def values(secret):
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param([], {}, id="none"),
        pytest.param([a_token()], {"token": "jwt-1", "token-id": "id-1", "token.default": "jwt-1"}, id="one"),
        pytest.param(
            [a_token("new", 2), a_token("old", 1)],
            {"token": "jwt-2", "token-id": "id-2", "token.new": "jwt-2", "token.old": "jwt-1"},
            id="R28 of two the newest is the one to copy",
        ),
        pytest.param(
            [a_token("old", 1), a_token("new", 2)],
            {"token": "jwt-2", "token-id": "id-2", "token.new": "jwt-2", "token.old": "jwt-1"},
            id="in whatever order they are on record",
        ),
        pytest.param(
            [a_token("old", 1), a_token("new", 2, state="Revoked")],
            {"token": "jwt-1", "token-id": "id-1", "token.old": "jwt-1"},
            id="R28 the newest was revoked",
        ),
        pytest.param(
            [a_token("new", 2, state="Pending"), a_token("old", 1)],
            {"token": "jwt-2", "token-id": "id-2", "token.new": "jwt-2", "token.old": "jwt-1"},
            id="a token is in the Secret before it counts",
        ),
        pytest.param([a_token(state="Revoked")], {}, id="R35 all are revoked: the values go"),
        pytest.param(
            [a_token("same", 2), a_token("same", 1)],
            {"token": "jwt-2", "token-id": "id-2", "token.same": "jwt-2"},
            id="two behind one slot: the newest",
        ),
    ],
)
def test_the_secret_holds_what_is_alive(tokens, expected):
    assert values(a_secret(*tokens)) == {**STANDING, **expected}


def test_it_says_what_the_tokens_are_good_for_and_where_they_go():
    found = values(a_secret(a_token(), deploymentType="ReverseProxy"))

    assert found["deployment-type"] == "ReverseProxy"
    assert found["heartbeat-url"] == f"{ISSUER}/v1/connections/edge/dc-west/heartbeat"


def test_the_ca_of_the_exchange_stands_beside_the_tokens():
    assert values(a_secret(a_token(), ca_pem="PEM"))["ca.crt"] == "PEM"


def test_it_is_found_by_its_labels_and_belongs_to_its_object():
    secret = a_secret(a_token("new", 2), a_token("old", 1))
    meta = secret["metadata"]

    assert (meta["name"], meta["namespace"], secret["type"]) == (
        "dc-west-connection-token",
        "edge",
        "tallystick.dev/connection-token",
    )
    assert meta["labels"] == {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": "ConnectionConfiguration",
        "tallystick.dev/name": "dc-west",
        "tallystick.dev/token-id": "id-2",
    }
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "tallystick.dev/v1alpha1",
            "kind": "ConnectionConfiguration",
            "name": "dc-west",
            "uid": UID,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def test_a_secret_without_a_token_names_none():
    labels = a_secret(a_token(state="Revoked"))["metadata"]["labels"]

    assert "tallystick.dev/token-id" not in labels
    assert labels["tallystick.dev/name"] == "dc-west"


def test_a_name_of_ones_own_is_used():
    assert a_secret(a_token(), secretName="trust")["metadata"]["name"] == "trust"
