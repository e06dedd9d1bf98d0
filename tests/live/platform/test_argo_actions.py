"""The actions of Argo CD in examples/06-gitops: the API server accepts what they write, and it has its effect."""

from http import HTTPStatus
from typing import Any

import yaml

from tallystick.crypto.keys import SigningKey
from tallystick.schema.meta import API_VERSION
from tests.gitops.customizations import EXAMPLE, act, enabled_actions, health_of
from tests.harness.api import Api
from tests.harness.connections import a_connection, tokens_of
from tests.harness.objects import secret_of, value_of, wait_for_state
from tests.harness.pairing_site import Site
from tests.harness.processes import poll

Json = dict[str, Any]


def choose(api: Api, body: Json, action: str) -> Json:
    """Run an action as Argo CD does: it sends what the script has changed, as a merge patch, or creates an object."""
    live = api.get(body)
    assert action in enabled_actions(live), (live["status"], enabled_actions(live))
    (change,) = act(live, action)
    if change.operation == "create":
        return api.create(change.body).must_succeed()
    changed = {name: value for name, value in change.body["spec"].items() if value != live["spec"].get(name)}
    return api.merge(body, {"spec": changed}).must_succeed()


def test_a_pairing_token_is_revoked_and_renewed(site: Site) -> None:
    body = site.pairing_token()
    site.issue()

    choose(site.api, body, "revoke")
    ended = wait_for_state(site.api, body, "Revoked")
    assert health_of(ended)["status"] == "Healthy"

    choose(site.api, body, "renew")
    site.issued(serial=2)
    assert health_of(site.api.get(body))["status"] == "Healthy"


def test_a_master_token_is_revoked(site: Site) -> None:
    token = site.paired()["access_token"]
    (found,) = site.api.find_all("MasterToken", site.namespace)
    body = {"apiVersion": API_VERSION, "kind": "MasterToken", "metadata": found["metadata"]}
    wait_for_state(site.api, body, "Active")

    choose(site.api, body, "revoke")

    wait_for_state(site.api, body, "Revoked")
    assert not site.is_active(token)


def test_a_connection_is_rotated_and_its_older_token_is_revoked(site: Site) -> None:
    body = a_connection(site.namespace)
    site.api.create(body).must_succeed()

    def active(count: int) -> list[Json]:
        def reached() -> list[Json]:
            found = tokens_of(site.api.get(body), "Active")
            return found if len(found) == count else []

        return poll(reached)

    active(1)
    choose(site.api, body, "rotate")
    assert {one["slot"]: one["serial"] for one in active(2)} == {"default": 1, "serial-2": 2}

    choose(site.api, body, "revoke")
    assert [one["slot"] for one in active(1)] == ["serial-2"]


def test_keys_are_rotated(site: Site) -> None:
    text = (EXAMPLE / "tokens" / "keys.yaml").read_text().replace("namespace: edge", f"namespace: {site.namespace}")
    master, join = yaml.safe_load_all(text)
    for body in (master, join):
        site.api.create(body).must_succeed()
    for body in (master, join):
        wait_for_state(site.api, body, "Active")

    choose(site.api, join, "rotate")
    assert health_of(wait_for_state(site.api, join, "Replacing"))["status"] == "Healthy"

    choose(site.api, master, "rotate")
    poll(lambda: site.api.get(master)["status"].get("serial") == 2)
    wait_for_state(site.api, master, "Active")


def a_project(site: Site) -> Json:
    """Create a PairingToken for devices, and wait until it is Active."""
    project = {"purpose": "DeviceProject", "projectKey": "fleet01", "useCase": None}
    body = site.pairing_token("cams")
    body["spec"] = {name: value for name, value in {**body["spec"], **project}.items() if value is not None}
    site.api.create(body).must_succeed()
    wait_for_state(site.api, body, "Active")
    return body


def test_a_device_is_revoked_and_cannot_check_in(site: Site) -> None:
    value = value_of(site.api.get(secret_of(a_project(site))), "token")
    key = SigningKey.generate("ES256")
    enrolled = site.exchange.enroll(value, key).body
    name, copy = enrolled["device_id"], enrolled["token"]
    assert site.exchange.check_in(name, copy, key).status == HTTPStatus.NO_CONTENT
    body = {"apiVersion": API_VERSION, "kind": "Device", "metadata": {"name": name, "namespace": site.namespace}}
    wait_for_state(site.api, body, "Active")

    choose(site.api, body, "revoke")

    revoked = wait_for_state(site.api, body, "Revoked")
    assert health_of(revoked)["status"] == "Healthy"
    assert enabled_actions(revoked) == []
    poll(lambda: site.exchange.check_in(name, copy, key).status == HTTPStatus.UNAUTHORIZED)


def test_a_project_is_rotated(site: Site) -> None:
    body = a_project(site)

    made = choose(site.api, body, "rotate")

    # There is no device, so it is over at once.
    done = wait_for_state(site.api, made, "Succeeded")
    assert health_of(done)["status"] == "Healthy"
    assert enabled_actions(done) == []


def test_a_rotation_is_paused_resumed_and_aborted(site: Site) -> None:
    # It waits for its target.
    spec = {"targetRef": {"kind": "PairingToken", "name": "no-such-token"}}
    metadata = {"name": "november", "namespace": site.namespace}
    body = {"apiVersion": API_VERSION, "kind": "TokenRotation", "metadata": metadata, "spec": spec}
    site.api.create(body).must_succeed()
    wait_for_state(site.api, body, "Pending")

    for action, desired in (("pause", "Paused"), ("resume", "Running"), ("abort", "Aborted")):
        assert choose(site.api, body, action)["spec"]["desiredState"] == desired
