"""How we know a Secret of ours, whichever kind it belongs to (S22). Of pairing tokens: test_pairing_secrets.py."""

import base64
import copy

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.objects.held_secrets import (
    HeldSecret,
    content_digest,
    held_token,
    secret_body,
)
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.schema.meta import ObjectMeta
from tests.builders import OTHER_UID, UID

FORMS = {kind.resource.kind: kind.secret for kind in KINDS if kind.secret}
META = ObjectMeta(name="west", namespace="edge", uid=UID)


def a_secret(resource=CONNECTION_CONFIGURATIONS, *, labelled=True, **values):
    token_id = "id-1" if labelled else None
    form = FORMS[resource.kind]
    return secret_body("trust", form, values or {"token": "jwt"}, owner=(resource, META), token_id=token_id)


@pytest.mark.parametrize("resource", [PAIRING_TOKENS, CONNECTION_CONFIGURATIONS], ids=str)
def test_a_secret_names_the_object_that_it_belongs_to(resource):
    secret = a_secret(resource)

    assert secret["metadata"]["labels"]["tallystick.dev/kind"] == resource.kind
    assert (secret["metadata"]["ownerReferences"][0]["uid"], secret["type"]) == (UID, FORMS[resource.kind].type)


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

    assert HeldSecret.from_body(stored, FORMS) == HeldSecret.from_body(later, FORMS)
    assert "jwt" not in repr(HeldSecret.from_body(stored, FORMS))


# The cache decides by the function that the writers use: test_ownership.py tries its cases.


def cached(change=lambda _: None):
    body = a_secret(PAIRING_TOKENS)
    body["metadata"] |= {"uid": "s1", "resourceVersion": "7"}
    change(body)
    return HeldSecret.from_body(body, FORMS)


@pytest.mark.parametrize(
    ("change", "owner", "controller"),
    [
        pytest.param(lambda _: None, UID, UID, id="ours"),
        pytest.param(lambda body: body.update(type="Opaque"), None, UID, id="another type"),
        pytest.param(lambda body: body["data"].update(notes=""), None, UID, id="data of others"),
        pytest.param(lambda body: body["metadata"].update(ownerReferences=None), None, None, id="no owner"),
        pytest.param(
            lambda body: body["metadata"]["ownerReferences"][0].update(uid=OTHER_UID),
            OTHER_UID,
            OTHER_UID,
            id="of another object",
        ),
        pytest.param(
            lambda body: body["metadata"]["ownerReferences"][0].update(kind="MasterToken"),
            None,
            UID,
            id="of a kind without a Secret",
        ),
    ],
)
def test_s22_the_cache_keeps_whose_a_secret_is_and_whom_it_names(change, owner, controller):
    held = cached(change)

    assert (held.owner_uid, held.controller_uid) == (owner, controller)


def test_a_secret_that_waits_for_its_deletion_is_seen():
    assert cached(lambda body: body["metadata"].update(deletionTimestamp="2030-01-01T12:00:00Z")).is_terminating
    assert not cached().is_terminating
