"""What the controller's watches have seen, and by what it is found again."""

from typing import Any

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.controller.cache import ObjectCache
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.schema.builtin import SECRETS

Json = dict[str, Any]


def an_object(name: str, *, namespace: str = "edge", version: str = "1", uid: str = "", **parts: Any) -> Json:
    meta = {"namespace": namespace, "name": name, "uid": uid or f"uid-of-{name}", "resourceVersion": version}
    return {"metadata": meta, **parts}


def test_a_pairing_token_is_found_by_the_secret_that_it_keeps() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(PAIRING_TOKENS, "ADDED", an_object("site-a", spec={}))
    cache.observe(PAIRING_TOKENS, "ADDED", an_object("site-b", spec={"secretName": "trust"}))

    assert cache.touched_by(SECRETS, an_object("site-a-pairing-token")) == [(PAIRING_TOKENS, "edge", "site-a")]
    assert cache.touched_by(SECRETS, an_object("trust")) == [(PAIRING_TOKENS, "edge", "site-b")]
    assert cache.touched_by(SECRETS, an_object("site-b-pairing-token")) == []
    assert cache.touched_by(SECRETS, an_object("trust", namespace="elsewhere")) == []


def test_a_pairing_token_that_is_gone_is_not_found_by_its_secret() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(PAIRING_TOKENS, "ADDED", an_object("site-a", spec={}))

    cache.observe(PAIRING_TOKENS, "DELETED", an_object("site-a", version="2", spec={}))

    assert cache.touched_by(SECRETS, an_object("site-a-pairing-token")) == []


def test_a_master_token_is_found_by_the_pairing_token_that_it_came_from() -> None:
    cache = ObjectCache(KINDS)
    body = an_object("mtok-1", spec={"pairingTokenRef": {"name": "site-a", "uid": "p-1"}})

    cache.observe(MASTER_TOKENS, "ADDED", body)

    assert cache.depending_on(MASTER_TOKENS, "p-1") == [("edge", "mtok-1")]


def test_a_changed_master_token_touches_itself_and_the_pairing_token_that_reports_its_end() -> None:
    cache = ObjectCache(KINDS)
    redeemed = an_object("mtok-1", spec={"pairingTokenRef": {"name": "site-a", "uid": "p-1"}})

    assert cache.touched_by(MASTER_TOKENS, redeemed) == [
        (MASTER_TOKENS, "edge", "mtok-1"),
        (PAIRING_TOKENS, "edge", "site-a"),
    ]
    assert cache.touched_by(MASTER_TOKENS, an_object("mtok-2", spec={})) == [(MASTER_TOKENS, "edge", "mtok-2")]


def test_a_changed_pairing_token_touches_itself_and_its_master_tokens() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(MASTER_TOKENS, "ADDED", an_object("mtok-1", spec={"pairingTokenRef": {"uid": "uid-of-site-a"}}))
    cache.observe(MASTER_TOKENS, "ADDED", an_object("mtok-2", spec={"pairingTokenRef": {"uid": "another"}}))

    touched = cache.touched_by(PAIRING_TOKENS, an_object("site-a", spec={}))

    assert touched == [(PAIRING_TOKENS, "edge", "site-a"), (MASTER_TOKENS, "edge", "mtok-1")]


def test_the_echo_of_a_write_is_no_change() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(PAIRING_TOKENS, "ADDED", an_object("site-a", version="1"))
    cache.remember(PAIRING_TOKENS, an_object("site-a", version="2", status={"state": "Active"}))

    echoed = cache.observe(PAIRING_TOKENS, "MODIFIED", an_object("site-a", version="2", status={"state": "Active"}))
    older = cache.observe(PAIRING_TOKENS, "ADDED", an_object("site-a", version="1"))

    assert (echoed, older) == (False, False)


def test_a_write_that_is_answered_after_the_deletion_does_not_bring_the_object_back() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(PAIRING_TOKENS, "ADDED", an_object("site-a", version="1"))
    cache.observe(PAIRING_TOKENS, "DELETED", an_object("site-a", version="3"))

    cache.remember(PAIRING_TOKENS, an_object("site-a", version="2", status={"state": "Active"}))

    # The watch reports a deletion once. A record that is stored after it would stay.
    assert cache.get(PAIRING_TOKENS, "edge", "site-a") is None


def test_a_write_that_is_answered_late_does_not_replace_a_new_object_of_the_same_name() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(PAIRING_TOKENS, "ADDED", an_object("site-a", version="4", uid="new"))

    cache.remember(PAIRING_TOKENS, an_object("site-a", version="9", uid="old"))

    body = cache.get(PAIRING_TOKENS, "edge", "site-a")
    assert body is not None
    assert body["metadata"]["uid"] == "new"


def test_a_created_secret_is_stored_before_the_watch_delivers_it() -> None:
    cache = ObjectCache(KINDS)

    cache.remember(SECRETS, an_object("trust", type="Opaque"))

    assert cache.secret("edge", "trust") is not None


def test_an_object_comes_back_ready_for_a_conditional_write() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(PAIRING_TOKENS, "ADDED", an_object("site-a", version="7", spec={"serial": 1}, status={}))

    body = cache.get(PAIRING_TOKENS, "edge", "site-a")

    assert body is not None
    assert (body["kind"], body["metadata"]["resourceVersion"], body["spec"]) == ("PairingToken", "7", {"serial": 1})
    assert cache.get(PAIRING_TOKENS, "edge", "site-b") is None


def test_no_value_of_a_secret_is_kept() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(SECRETS, "ADDED", an_object("trust", data={"token": "dmFsdWU="}, type="Opaque"))

    assert "dmFsdWU=" not in repr(cache.secret("edge", "trust"))


def test_a_connection_configuration_is_found_by_the_secret_that_it_keeps() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(CONNECTION_CONFIGURATIONS, "ADDED", an_object("dc-west", spec={}))
    cache.observe(CONNECTION_CONFIGURATIONS, "ADDED", an_object("dc-east", spec={"secretName": "east"}))

    west, east = ((CONNECTION_CONFIGURATIONS, "edge", name) for name in ("dc-west", "dc-east"))

    assert cache.touched_by(SECRETS, an_object("dc-west-connection-token")) == [west]
    assert cache.touched_by(SECRETS, an_object("east")) == [east]
    assert cache.touched_by(SECRETS, an_object("dc-east-connection-token")) == []
    assert cache.touched_by(SECRETS, an_object("dc-west-pairing-token")) == []
    assert cache.touched_by(SECRETS, an_object("dc-west")) == []
    assert cache.touched_by(SECRETS, an_object("east", namespace="elsewhere")) == []


@pytest.mark.parametrize("event", ["ADDED", "MODIFIED"])
def test_two_objects_of_two_kinds_that_claim_one_secret_are_both_touched_by_it(event: str) -> None:
    cache = ObjectCache(KINDS)
    cache.observe(PAIRING_TOKENS, event, an_object("site-a", spec={"secretName": "dc-west-connection-token"}))
    cache.observe(CONNECTION_CONFIGURATIONS, event, an_object("dc-west", spec={}))

    touched = cache.touched_by(SECRETS, an_object("dc-west-connection-token"))

    assert touched == [(PAIRING_TOKENS, "edge", "site-a"), (CONNECTION_CONFIGURATIONS, "edge", "dc-west")]


def test_objects_of_two_kinds_may_have_one_name() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(PAIRING_TOKENS, "ADDED", an_object("west", spec={}))
    cache.observe(CONNECTION_CONFIGURATIONS, "ADDED", an_object("west", spec={}))

    assert cache.touched_by(SECRETS, an_object("west-pairing-token")) == [(PAIRING_TOKENS, "edge", "west")]
    assert cache.touched_by(SECRETS, an_object("west-connection-token")) == [
        (CONNECTION_CONFIGURATIONS, "edge", "west")
    ]
    assert len(cache.everything()) == 2


def test_a_connection_configuration_comes_back_ready_for_a_conditional_write() -> None:
    cache = ObjectCache(KINDS)
    status = {"lastSerial": 1, "tokens": [{"slot": "default", "serial": 1}]}
    cache.observe(CONNECTION_CONFIGURATIONS, "ADDED", an_object("dc-west", version="7", spec={}, status=status))

    body = cache.get(CONNECTION_CONFIGURATIONS, "edge", "dc-west")

    assert body is not None
    assert (body["kind"], body["apiVersion"]) == ("ConnectionConfiguration", "tallystick.dev/v1alpha1")
    assert (body["metadata"]["resourceVersion"], body["status"]) == ("7", status)


def test_a_connection_configuration_that_is_gone_is_not_found_by_its_secret() -> None:
    cache = ObjectCache(KINDS)
    cache.observe(CONNECTION_CONFIGURATIONS, "ADDED", an_object("dc-west", spec={}))

    cache.observe(CONNECTION_CONFIGURATIONS, "DELETED", an_object("dc-west", version="2", spec={}))

    assert cache.touched_by(SECRETS, an_object("dc-west-connection-token")) == []
    assert cache.get(CONNECTION_CONFIGURATIONS, "edge", "dc-west") is None
