"""From `kubectl apply` of a ConnectionConfiguration to its Secret: what it costs, heals and says (R15-R36)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.audit_trail import Mark, Trail
from tests.harness.connections import (
    a_connection,
    connected,
    connection_secret_of,
    set_slots,
    slots,
    token_in,
    tokens_of,
    wait_for_active,
)
from tests.harness.objects import condition, read_token, value_of, wait_for_reason, wait_until_gone
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]

HEALED_WITHIN = 5.0
# The garbage collector of a fresh control plane learns of a new kind within half a minute, and then acts at once.
GARBAGE_COLLECTED_WITHIN = 45.0
# A foreign Secret carries no label of ours, so it is looked for every 10 s.
RECOVERED_WITHIN = 25.0
FORGED = "Zm9yZ2Vk"
STATUS, CREATED, UPDATED = "update connectionconfigurations/status", "create secrets", "update secrets"


@pytest.fixture(scope="module")
def trail(system: System) -> Trail:
    return Trail(system.plane.audit_log)


def settled(trail: Trail, site: Site, *, since: Mark) -> list[str]:
    """List the controller's writes, once it has had the occasion for all that it wants to write.

    One watch brings all objects of a kind in order: what happened before a later one was made has been looked at.
    """
    name = f"sentinel-{trail.mark().place}"
    connected(site.api, a_connection(site.namespace, name))
    return [write for write in trail.writes(site.namespace, since=since) if "sentinel-" not in write]


def is_good(site: Site, token: str, deployment_type: str = "Kubernetes") -> bool:
    answer = site.exchange.introspect(token, site.bearer, deployment_type=deployment_type).must_succeed()
    return bool(answer["active"])


def content(secret: Json | None) -> Json:
    """What we answer for in a Secret: all but the bookkeeping of the API server."""
    if secret is None:
        return {}
    meta = {key: secret["metadata"].get(key) for key in ("name", "labels", "ownerReferences")}
    return {"meta": meta, "data": secret.get("data"), "type": secret["type"], "immutable": secret.get("immutable")}


def test_applying_makes_the_first_token_and_its_secret_holds_all_that_an_instance_needs(
    site: Site, system: System, trail: Trail
) -> None:
    api, body = site.api, a_connection(site.namespace)
    mark = trail.mark()

    api.kubectl_apply(body).must_succeed()
    found = wait_for_active(api, body, ["default"])
    secret, wide = api.get(connection_secret_of(body)), ("get", "cconf", "-n", site.namespace, "-o", "wide")
    header, row = api.kubectl("get", "cconf", "-n", site.namespace).splitlines()
    wide_header, wide_row = api.kubectl(*wide).splitlines()

    (token,) = tokens_of(found)
    where = f"{site.namespace}/dc-west"
    assert found["spec"]["tokens"] == slots("default")
    assert (token["slot"], token["serial"], token["state"]) == ("default", 1, "Active")
    assert condition(found, "Ready")["status"] == "True"
    assert {one["type"] for one in found["status"]["conditions"]} == {"Ready"}
    assert secret["type"] == "tallystick.dev/connection-token"
    assert {key: value_of(secret, key) for key in secret["data"] if not key.startswith("token")} == {
        "deployment-type": "Kubernetes",
        "heartbeat-url": f"{system.up.url}/v1/connections/{where}/heartbeat",
        "ca.crt": system.up.ca_file.read_text(),
    }
    assert {key for key in secret["data"] if key.startswith("token")} == {"token", "token-id", "token.default"}
    assert value_of(secret, "token-id") == found["status"]["currentTokenID"] == token["tokenID"]
    assert secret["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": "ConnectionConfiguration",
        "tallystick.dev/name": "dc-west",
        "tallystick.dev/token-id": token["tokenID"],
    }
    claims = read_token(value_of(secret, "token")).claims
    assert (claims["deployment_type"], claims["jti"], "exp" in claims) == ("Kubernetes", token["tokenID"], False)
    assert is_good(site, value_of(secret, "token"))
    assert site.exchange.heartbeat(value_of(secret, "token"), where).status == 204

    assert " ".join(header.split()) == "NAME ACTIVE GOOD PROBLEM OUTDATED ROTATION REASON AGE"
    assert row.split()[:2] == ["dc-west", "1"]
    assert " ".join(wide_header.split()).endswith("OUTDATED ROTATION LICENSE REASON MESSAGE AGE")
    assert condition(found, "Ready")["message"] in wide_row
    selected = api.find_all("ConnectionConfiguration", site.namespace, fieldSelector="spec.deploymentType=Kubernetes")
    assert [one["metadata"]["name"] for one in selected] == ["dc-west"]

    # What it costs: the plan, the Secret, the status; and one status more for the instance that was there.
    written = settled(trail, site, since=mark)
    assert written[:3] == [f"{STATUS} dc-west", f"{CREATED} dc-west-connection-token", f"{STATUS} dc-west"]
    assert set(written[3:]) <= {f"{STATUS} dc-west"}
    assert api.find_all("Event", site.namespace) == []


def test_slots_are_added_and_removed_and_the_token_to_copy_follows(site: Site, trail: Trail) -> None:
    api, body = site.api, a_connection(site.namespace, tokens=slots("blue"))
    connected(api, body)
    first, before = api.get(connection_secret_of(body)), trail.mark()
    blue = token_in(api, body)

    # Added: the newest is the one to copy, and the one before it is the same as ever.
    set_slots(api, body, "blue", "green").must_succeed()
    found = wait_for_active(api, body, ["blue", "green"])
    green = token_in(api, body)
    assert [token["slot"] for token in tokens_of(found)] == ["green", "blue"]
    assert token_in(api, body, "green") == green
    assert token_in(api, body, "blue") == blue
    assert is_good(site, blue)
    assert is_good(site, green)
    secret = f"{UPDATED} dc-west-connection-token"
    assert settled(trail, site, since=before) == [f"{STATUS} dc-west", secret, f"{STATUS} dc-west"]

    # The newest revoked: the one before is the one to copy again, byte for byte (R28).
    mark = trail.mark()
    set_slots(api, body, "blue").must_succeed()
    poll(lambda: not is_good(site, green))
    found = wait_for_active(api, body, ["blue"])
    assert content(api.get(connection_secret_of(body))) == content(first)
    (revoked,) = tokens_of(found, "Revoked")
    assert (revoked["slot"], revoked["reason"]) == ("green", "Manual")
    assert settled(trail, site, since=mark) == [f"{STATUS} dc-west", secret]

    # One edit, as Git makes it, revokes one and generates another; a name that comes back is another token.
    set_slots(api, body, "blue", "red").must_succeed()
    wait_for_active(api, body, ["blue", "red"])
    api.kubectl_apply(a_connection(site.namespace, tokens=slots("red", "green"))).must_succeed()
    found = wait_for_active(api, body, ["red", "green"])
    assert [token["serial"] for token in tokens_of(found, "Active")] == [4, 3]
    again = token_in(api, body, "green")
    assert again != green
    assert (is_good(site, again), is_good(site, green), is_good(site, blue)) == (True, False, False)


def test_nothing_is_written_when_an_edit_asks_for_nothing_new(site: Site, trail: Trail) -> None:
    api, body = site.api, a_connection(site.namespace)
    api.kubectl_apply(body).must_succeed()
    found = wait_for_active(api, body, ["default"])
    secret = api.get(connection_secret_of(body))
    # What a tool has read, defaults and all, and sends again.
    defaulted = {**body, "spec": found["spec"]}
    edits: dict[str, Callable[[], Any]] = {
        "applied again": lambda: api.kubectl_apply(body),
        "applied by another manager": lambda: api.apply(body),
        "applied with its defaults": lambda: api.apply(defaulted),
        "replaced by the Git version": lambda: api.kubectl("replace", "-f", "-", stdin=json.dumps(body)),
        "labelled": lambda: api.merge(body, {"metadata": {"labels": {"team": "blue"}, "annotations": {"a": "b"}}}),
    }
    mark = trail.mark()

    for edit in edits.values():
        edit()

    assert settled(trail, site, since=mark) == []
    after = api.get(body)
    assert after["metadata"]["labels"] == {"team": "blue"}
    assert (after["status"], after["metadata"]["generation"]) == (found["status"], 1)
    assert api.get(connection_secret_of(body)) == secret


# The Secret.


def _deleted(api: Api, secret: Json) -> None:
    api.delete(secret).must_succeed()


def _edited(api: Api, secret: Json) -> None:
    forged = {"token": FORGED, "token.old": FORGED, "token.more": FORGED, "deployment-type": None}
    api.merge(secret, {"data": forged}).must_succeed()


def _stripped_of_labels(api: Api, secret: Json) -> None:
    api.merge(secret, {"metadata": {"labels": None}}).must_succeed()


def _frozen_with_other_data(api: Api, secret: Json) -> None:
    api.merge(secret, {"immutable": True, "data": {"token": FORGED}}).must_succeed()


def _recreated_with_another_token(api: Api, secret: Json) -> None:
    api.delete(secret).must_succeed()
    kept = {key: secret["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    api.create(secret | {"metadata": kept, "data": {"token": FORGED}})


DAMAGES = (_deleted, _edited, _stripped_of_labels, _frozen_with_other_data, _recreated_with_another_token)


def test_a_damaged_secret_is_back_within_five_seconds_byte_for_byte(site: Site) -> None:
    api = site.api
    bodies = [a_connection(site.namespace, f"dc-{n}", tokens=slots("old", "new")) for n in range(len(DAMAGES))]
    before = [connected(api, body) for body in bodies]
    secrets = [api.get(connection_secret_of(body)) for body in bodies]

    for damage, body, secret in zip(DAMAGES, bodies, secrets, strict=True):
        damage(api, secret)
        poll(
            lambda body=body, secret=secret: content(api.find(connection_secret_of(body))) == content(secret),
            seconds=HEALED_WITHIN,
        )

    assert [api.get(body)["status"] for body in bodies] == [found["status"] for found in before]


def test_a_secret_that_is_not_ours_is_left_alone_and_the_text_says_whose_it_is(site: Site) -> None:
    api, body = site.api, a_connection(site.namespace)
    other = a_connection(site.namespace, "other")
    connected(api, other)
    taken = api.get(connection_secret_of(other))
    plain = {**connection_secret_of(body), "data": {"token": FORGED}}
    foreign = api.create(plain).must_succeed()

    api.create(body).must_succeed()
    second = a_connection(site.namespace, "second", secretName=taken["metadata"]["name"])
    api.create(second).must_succeed()
    found, beside = (wait_for_reason(api, one, "SecretConflict") for one in (body, second))

    next_action = "Delete the Secret, or create a ConnectionConfiguration with a different spec.secretName."
    name = f"Secret {site.namespace}/dc-west-connection-token"
    assert condition(found, "Stalled")["message"] == (
        f"{name} already exists and is not owned by ConnectionConfiguration {site.namespace}/dc-west. {next_action}"
    )
    assert condition(beside, "Ready")["message"] == (
        f"Secret {site.namespace}/other-connection-token already belongs to ConnectionConfiguration "
        f"{site.namespace}/other. {next_action}"
    )
    assert [token["state"] for token in tokens_of(found)] == ["Pending"]
    poll(lambda: len(site.events("SecretConflict")) == 2)
    assert (api.get(foreign), api.get(taken)) == (foreign, taken)

    # The token that was planned is the one that is made when the way is free.
    api.delete(foreign).must_succeed()
    after = wait_for_active(api, body, ["default"], seconds=RECOVERED_WITHIN)
    assert after["status"]["lastSerial"] == 1
    assert tokens_of(after)[0]["tokenID"] == tokens_of(found)[0]["tokenID"]
    assert condition(after, "Stalled") == {}

    # Taken out of our hands, a Secret of ours is somebody else's, too.
    api.merge(taken, {"metadata": {"ownerReferences": None}}).must_succeed()
    disowned = api.get(taken)
    conflict = wait_for_reason(api, other, "SecretConflict")
    assert [token["state"] for token in tokens_of(conflict)] == ["Active"]
    assert api.get(taken) == disowned


# The end.


def test_a_deletion_never_hangs_and_ends_the_tokens_and_the_secret(site: Site, system: System) -> None:
    api, body = site.api, a_connection(site.namespace, tokens=slots("old", "new"))
    found = connected(api, body)
    tokens = {slot: token_in(api, body, slot) for slot in ("old", "new")}
    ids = {token["slot"]: token["tokenID"] for token in tokens_of(found)}
    assert "finalizers" not in found["metadata"]
    assert all(is_good(site, token) for token in tokens.values())

    api.kubectl("delete", "cconf", "dc-west", "-n", site.namespace, "--timeout=120s")

    # An answer of the API server is shared for a second at most.
    poll(lambda: not any(is_good(site, token) for token in tokens.values()), seconds=3.0)
    assert site.exchange.heartbeat(tokens["new"], f"{site.namespace}/dc-west").status == 401
    (event,) = poll(lambda: site.events("ConfigurationDeleted"))
    assert event["message"] == f"the object was deleted; tokens {ids['new']}, {ids['old']} are revoked"
    assert (event["involvedObject"]["name"], event["type"]) == ("dc-west", "Warning")
    lines = [
        json.loads(line)
        for line in (system.up.folder / "audit-controller.jsonl").read_text().splitlines()
        if found["metadata"]["uid"] in line
    ]
    ended = {line["token_id"]: line["reason"] for line in lines if line["action"] == "revoke"}
    assert ended == dict.fromkeys(ids.values(), "ConfigurationDeleted")
    wait_until_gone(api, connection_secret_of(body), seconds=GARBAGE_COLLECTED_WITHIN)

    # Made again under its old name, it is another one, and the tokens of the one before stay dead (S24).
    again = connected(api, body)
    assert not set(ids.values()) & {token["tokenID"] for token in tokens_of(again)}
    assert is_good(site, token_in(api, body))
    assert not any(is_good(site, token) for token in tokens.values())


def test_while_a_foreign_finalizer_holds_a_deleted_object_its_tokens_are_revoked(site: Site) -> None:
    api, body = site.api, a_connection(site.namespace)
    connected(api, body)
    token = token_in(api, body)
    api.merge(body, {"metadata": {"finalizers": ["example.com/hold"]}}).must_succeed()

    api.delete(body).must_succeed()

    poll(lambda: not is_good(site, token), seconds=3.0)
    held = wait_for_reason(api, body, "ConfigurationDeleted")
    assert [(one["state"], one["reason"]) for one in tokens_of(held)] == [("Revoked", "ConfigurationDeleted")]
    wait_until_gone(api, connection_secret_of(body))
    api.merge(body, {"metadata": {"finalizers": None}}).must_succeed()
    wait_until_gone(api, body)
