"""How we know a Secret of ours, whichever kind it belongs to (S22). Of pairing tokens: test_pairing_secrets.py."""

import base64
import copy

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.objects.held_secrets import (
    HeldSecret,
    content_digest,
    controller_of,
    held_token,
    owner_uid,
    secret_body,
)
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.meta import ObjectMeta
from tests.builders import OTHER_UID, UID

META = ObjectMeta(name="west", namespace="edge", uid=UID)


def a_secret(resource=CONNECTION_CONFIGURATIONS, *, labelled=True, **values):
    token_id = "id-1" if labelled else None
    return secret_body("trust", "Opaque", values or {"token": "jwt"}, owner=(resource, META), token_id=token_id)


def references(*given):
    return {"metadata": {"ownerReferences": list(given)}}


def a_reference(kind="ConnectionConfiguration", name="west", uid=UID, controller=True):
    return {"kind": kind, "name": name, "uid": uid, "controller": controller}


@pytest.mark.parametrize("resource", [PAIRING_TOKENS, CONNECTION_CONFIGURATIONS], ids=str)
def test_a_secret_names_the_object_that_it_belongs_to(resource):
    secret = a_secret(resource)

    assert owner_uid(secret) == UID
    assert controller_of(secret) == (resource.kind, "west")
    assert secret["metadata"]["labels"]["tallystick.dev/kind"] == resource.kind


@pytest.mark.parametrize(
    ("body", "uid", "owner"),
    [
        pytest.param({"metadata": {}}, None, None, id="none"),
        pytest.param(references(), None, None, id="an empty list"),
        pytest.param(references(a_reference(controller=False)), None, None, id="one that controls nothing"),
        pytest.param(references(a_reference(kind="Deployment")), None, None, id="another kind"),
        pytest.param(references(a_reference()), UID, ("ConnectionConfiguration", "west"), id="ours"),
        pytest.param(
            references(a_reference(kind="Pod", uid=OTHER_UID), a_reference(kind="PairingToken", name="press-1")),
            UID,
            ("PairingToken", "press-1"),
            id="ours beside another's",
        ),
    ],
)
def test_s22_an_owner_is_an_object_of_ours_that_controls_it(body, uid, owner):
    assert (owner_uid(body), controller_of(body)) == (uid, owner)


def test_a_secret_without_a_token_to_copy_has_no_label_of_one():
    assert "tallystick.dev/token-id" not in a_secret(labelled=False)["metadata"]["labels"]


def test_s22_the_same_values_of_two_kinds_are_two_contents():
    assert content_digest(a_secret(PAIRING_TOKENS)) != content_digest(a_secret(CONNECTION_CONFIGURATIONS))


def test_the_order_of_values_and_what_others_have_added_is_no_change():
    first, second = a_secret(a="1", b="2"), a_secret(b="2", a="1")
    second["metadata"]["annotations"] = {"note": "mine"}
    second["metadata"]["labels"]["team"] = "blue"

    assert content_digest(first) == content_digest(second)


@pytest.mark.parametrize("key", ["token", "token.default"])
def test_a_token_is_read_back_by_its_key(key):
    body = {"data": {key: base64.b64encode(b"a.jwt").decode()}}

    assert held_token(body, key) == "a.jwt"
    assert held_token(body, "token.other") is None


def test_what_is_kept_of_a_secret_compares_without_its_version():
    stored = a_secret()
    stored["metadata"] |= {"uid": "s1", "resourceVersion": "7"}
    later = copy.deepcopy(stored)
    later["metadata"]["resourceVersion"] = "8"

    assert HeldSecret.from_body(stored) == HeldSecret.from_body(later)
    assert "jwt" not in repr(HeldSecret.from_body(stored))
