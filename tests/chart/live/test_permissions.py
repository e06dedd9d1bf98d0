"""Each permission of the chart is used: by a story here, or by a test that is named."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.localplane.plane import PlaneOptions
from tallystick.schema.meta import API_VERSION
from tests.chart.helms import WHEELS
from tests.chart.live.permissions import granted, used
from tests.chart.live.releases import Release, Running, fresh_release
from tests.harness.grants import grant
from tests.harness.objects import a_pairing_token, secret_of, value_of, wait_for_state
from tests.harness.processes import poll
from tests.harness.system import REPOSITORY
from tests.live.bootstrap.started import request_pairing

Json = dict[str, Any]

HOME, EDGE = "tallystick-system", "edge"
READS_TOO = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:tallystick-system"]
- level: None
"""
# The permissions that the story need not use, and the test that has the occasion for each.
_ROTATION = "live/fleet/test_rotations.py::test_a_rotation_moves_each_device_in_batches_and_the_next_one_after_an_abort"
_RETAINED = "live/pairing/test_revoke_trust.py::test_a_revoked_trust_is_recorded_in_both_objects"
_MASTER_KEY = "live/clusterkeys/test_master_keys.py::test_a_lost_and_a_changed_key_are_named_and_put_back"
USED_ELSEWHERE: dict[str, str] = {
    # For a release that does not serve its own namespace. In others, the permission for all namespaces includes it.
    "controller home events create": (
        "unit/pairing/services/test_admin_bootstrap.py::test_an_operator_that_does_not_serve_its_own_namespace_says_so"
    ),
    "controller served devices.tallystick.dev get": _ROTATION,
    "controller served devices/status.tallystick.dev update": _ROTATION,
    "controller served tokenrotations.tallystick.dev get": _ROTATION,
    "controller served tokenrotations/status.tallystick.dev update": _ROTATION,
    "exchange served tokenrotations.tallystick.dev get": _ROTATION,
    "controller served mastertokens.tallystick.dev get": _RETAINED,
    "controller served masterkeys.tallystick.dev get": _MASTER_KEY,
    # The API server asks for this one when the exchange creates a PairingToken.
    "exchange served usecases.tallystick.dev use": (
        "live/bootstrap/test_admin_token.py::test_each_requested_token_is_that_of_its_secret_and_is_redeemed_once"
    ),
    "controller served pairingtokens.tallystick.dev delete": (
        "live/bootstrap/test_policies_requests.py"
        "::test_the_controller_deletes_only_what_the_exchange_made_and_what_expired"
    ),
}


@pytest.fixture
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    folder = tmp_path_factory.mktemp("permissions")
    policy = folder / "audit-policy.yaml"
    policy.write_text(READS_TOO)
    options = PlaneOptions(api_server_flags=(f"--audit-policy-file={policy}",))
    with fresh_release(WHEELS[0], folder, options=options) as fresh:
        yield fresh


def test_each_permission_is_used(release: Release) -> None:
    release.install()
    release.api.create({"kind": "Namespace", "metadata": {"name": EDGE}}).must_succeed()
    trigger = {"kind": "ConfigMap", "metadata": {"name": "generate.token.json", "namespace": HOME}}
    release.api.create(trigger).must_succeed()
    with release.running() as running:
        pair_and_revoke(release, running)
        connect(release, running)
        enroll(release, running)
        request(release, running)
        share_a_key(release)
        poll(lambda: release.api.find(trigger) is None)

    grants = granted(release.helm.objects(flags=["--skip-tests"]))
    unused = {" ".join(permission) for permission in grants - used(release.plane.audit_log, HOME, grants)}

    assert sorted(unused - USED_ELSEWHERE.keys()) == [], "these permissions are used by no story and by no named test"
    assert USED_ELSEWHERE.keys() <= {" ".join(permission) for permission in grants}
    assert len(grants) > 50


@pytest.mark.parametrize("place", sorted(set(USED_ELSEWHERE.values())))
def test_the_named_tests_exist(place: str) -> None:
    file, _, name = place.partition("::")

    assert re.search(rf"^(async )?def {name}\(", (REPOSITORY / "tests" / file).read_text(), flags=re.MULTILINE)


def active(release: Release, body: Json) -> str:
    """Create a PairingToken, and return its token."""
    release.api.create(body).must_succeed()
    wait_for_state(release.api, body, "Active")
    return value_of(release.api.get(secret_of(body)), "token")


def pair_and_revoke(release: Release, running: Running) -> None:
    api = release.api
    body = a_pairing_token(EDGE, "paired")
    master = running.client.redeem(active(release, body)).must_succeed()["access_token"]
    api.create({"kind": "ServiceAccount", "metadata": {"name": "verifier", "namespace": EDGE}}).must_succeed()
    grant(api, EDGE, f"system:serviceaccount:{EDGE}:verifier", "tallystick-introspect")
    bearer = api.request_token(EDGE, "verifier", running.client.issuer)
    assert running.client.introspect(master, bearer).must_succeed()["active"]
    assert running.client.revoke(master).status == 200
    wait_for_state(api, body, "Used")
    revoked = a_pairing_token(EDGE, "revoked")
    active(release, revoked)
    # A Secret that a user deletes is restored.
    secret = api.get(secret_of(revoked))
    api.delete(secret).must_succeed()
    poll(lambda: api.find(secret) is not None)
    api.merge(revoked, {"spec": {"revoked": True}}).must_succeed()
    wait_for_state(api, revoked, "Revoked")


def connect(release: Release, running: Running) -> None:
    metadata = {"name": "shared", "namespace": EDGE}
    body = {"apiVersion": API_VERSION, "kind": "ConnectionConfiguration", "metadata": metadata}
    release.api.create({**body, "spec": {"deploymentType": "Kubernetes"}}).must_succeed()
    secret = {"kind": "Secret", "metadata": {"name": "shared-connection-token", "namespace": EDGE}}
    poll(lambda: release.api.get(body).get("status", {}).get("activeTokens") == 1)
    token = value_of(release.api.get(secret), "token")
    assert running.client.heartbeat(token, f"{EDGE}/shared").status == 204
    # A Secret that a user deletes or edits is restored.
    release.api.delete(secret).must_succeed()
    poll(lambda: release.api.find(secret) is not None)
    release.api.merge(secret, {"data": {"token": "eA=="}}).must_succeed()
    poll(lambda: value_of(release.api.get(secret), "token") == token)
    # The exchange stores the records of heartbeats, and changes them.
    poll(lambda: release.api.get(body)["status"].get("instances", {}).get("good") == 1)
    assert running.client.heartbeat(token, f"{EDGE}/shared", "press-2").status == 204
    poll(lambda: release.api.get(body)["status"].get("instances", {}).get("good") == 2)


def enroll(release: Release, running: Running) -> None:
    spec = {"purpose": "DeviceProject", "projectKey": "presses"}
    body = {**a_pairing_token(EDGE, "project"), "spec": spec}
    key = SigningKey.generate("ES256")
    answer = running.client.enroll(active(release, body), key, name="press")
    assert answer.status in (200, 201), answer.body
    device = answer.body
    assert running.client.check_in(device["device_id"], device["token"], key).status in (200, 204)


def request(release: Release, running: Running) -> None:
    """A service requests a pairing token by HTTP."""
    account = f"system:serviceaccount:{EDGE}:verifier"
    for role in ("tallystick-edit", "tallystick-usecase-mission-control"):
        grant(release.api, EDGE, account, role)
    bearer = release.api.request_token(EDGE, "verifier", running.client.issuer)
    answer = request_pairing(running.client, bearer, b"{}")
    assert answer.status in (200, 201), answer.body


def share_a_key(release: Release) -> None:
    """Share the key of the first start with another namespace, and delete a JoinKey."""
    api = release.api
    metadata = {"name": "cluster", "namespace": HOME}
    body = {
        "apiVersion": API_VERSION,
        "kind": "JoinKey",
        "metadata": metadata,
        "spec": {"targets": [{"namespace": EDGE}]},
    }
    api.create(body).must_succeed()
    copy = {"kind": "Secret", "metadata": {"name": "cluster-join-key", "namespace": EDGE}}
    poll(lambda: api.find(copy) is not None)
    poll(lambda: api.get(body)["status"].get("state") == "Active")
    api.delete(copy).must_succeed()
    poll(lambda: api.find(copy) is not None)
    api.delete(body).must_succeed()
    poll(lambda: api.find(body) is None)
    assert api.find(copy) is None
