"""Each permission of the chart is used. `make permissions` takes each one away, and requires a test to fail.

The tests of this file follow each other on one release; the last one reads what all of them have used.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tallystick.controller.controller import LEASE, Controller, ControllerSettings, Engine
from tallystick.controller.lease import LeaderElector, LeaseName
from tallystick.controller.relist import Listing
from tallystick.controller.worklist import Worklist
from tallystick.crypto.keys import SigningKey
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.plane import PlaneOptions
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.metrics import make_metrics
from tallystick.schema.meta import API_VERSION
from tests.chart.helms import WHEELS
from tests.chart.live.permissions import granted, take_away, used
from tests.chart.live.releases import Release, Running, fresh_release
from tests.fakes import FakeFeed
from tests.harness.api import Api
from tests.harness.cluster_keys import (
    a_join_key,
    a_master_key,
    a_secret,
    generated_secret_of,
    put,
    raise_serial,
    wait_for_ready,
)
from tests.harness.grants import grant
from tests.harness.objects import (
    a_pairing_token,
    issued,
    value_of,
    wait_for_reason,
    wait_for_state,
    wait_until_gone,
)
from tests.harness.processes import poll
from tests.harness.system import REPOSITORY
from tests.live.bootstrap.started import request_pairing
from tests.permissions.needed import NEEDED_BY

Json = dict[str, Any]

HOME, EDGE, FAR = "tallystick-system", "edge", "far"
TRIGGER = {"kind": "ConfigMap", "metadata": {"name": "generate.token.json", "namespace": HOME}}
# The API server itself asks for this one when the exchange creates a PairingToken, so the audit log does not have it.
NO_REQUEST = {"exchange served usecases.tallystick.dev use"}
VERIFIER = f"system:serviceaccount:{EDGE}:verifier"
READS_TOO = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:tallystick-system"]
- level: None
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A release, and its pods at work."""

    release: Release
    running: Running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("permissions")
    policy = folder / "audit-policy.yaml"
    policy.write_text(READS_TOO)
    options = PlaneOptions(api_server_flags=(f"--audit-policy-file={policy}",))
    with fresh_release(WHEELS[0], folder, options=options) as release:
        release.install()
        take_away(release.api, pytestconfig.getoption("--without-permission", ""))
        for name in (EDGE, FAR):
            release.api.create({"kind": "Namespace", "metadata": {"name": name}}).must_succeed()
        release.api.create({"kind": "ServiceAccount", "metadata": {"name": "verifier", "namespace": EDGE}})
        release.api.create(TRIGGER).must_succeed()
        with release.running() as running:
            yield Site(release, running)


def events(site: Site, component: str) -> set[str]:
    """The reasons of the events that a component has written."""
    found = site.release.api.find_all("Event", EDGE)
    return {one["reason"] for one in found if one.get("reportingComponent", "").endswith(component)}


def master_token_of(api: Api, name: str) -> Json:
    """The MasterToken of a PairingToken."""
    (master,) = (one for one in api.find_all("MasterToken", EDGE) if one["spec"]["pairingTokenRef"]["name"] == name)
    return master


def test_the_first_start_makes_the_keys_and_the_admin_token(site: Site) -> None:
    api = site.release.api

    for kind in ("MasterKey", "JoinKey"):
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "default", "namespace": HOME}}
        poll(lambda body=body: (api.find(body) or {}).get("status", {}).get("state") == "Active")
    poll(lambda: api.find(TRIGGER) is None)


def test_the_leader_renews_its_lease(site: Site) -> None:
    lease = {"kind": "Lease", "metadata": {"name": LEASE, "namespace": HOME}}
    before = site.release.api.get(lease)["spec"]["renewTime"]

    poll(lambda: site.release.api.get(lease)["spec"]["renewTime"] != before)


def test_a_pairing_token_is_redeemed_introspected_and_revoked_by_its_holder(site: Site) -> None:
    api, client = site.release.api, site.running.client
    body = a_pairing_token(EDGE, "paired")
    _, secret = issued(api, body)

    master = client.redeem(value_of(secret, "token")).must_succeed()["access_token"]
    wait_until_gone(api, secret)
    grant(api, EDGE, VERIFIER, "tallystick-introspect")
    bearer = api.request_token(EDGE, "verifier", client.issuer)
    assert client.introspect(master, bearer).must_succeed()["active"]
    assert client.revoke(master).status == 200
    wait_for_state(api, body, "Used")
    poll(lambda: "RevokedByHolder" in events(site, "exchange"))


def test_a_pairing_token_is_restored_and_revoked_in_both_objects(site: Site) -> None:
    api, client = site.release.api, site.running.client
    body = a_pairing_token(EDGE, "revoked")
    _, secret = issued(api, body)
    # A Secret that a user deletes is restored.
    api.delete(secret).must_succeed()
    poll(lambda: api.find(secret) is not None)
    client.redeem(value_of(api.get(secret), "token")).must_succeed()

    api.merge(body, {"spec": {"revoked": True}}).must_succeed()

    wait_for_state(api, body, "Revoked")
    wait_for_state(api, master_token_of(api, "revoked"), "Revoked")


def test_a_master_token_is_revoked_by_its_editor(site: Site) -> None:
    api, client = site.release.api, site.running.client
    body = a_pairing_token(EDGE, "retained", masterToken={"deletionPolicy": "Retain"})
    _, secret = issued(api, body)
    client.redeem(value_of(secret, "token")).must_succeed()
    master = master_token_of(api, "retained")

    api.delete(body).must_succeed()
    api.merge(master, {"spec": {"revoked": True}}).must_succeed()

    wait_for_state(api, master, "Revoked")


def test_the_controller_writes_an_event_of_a_token_that_it_cannot_issue(site: Site) -> None:
    body = a_pairing_token(EDGE, "stalled", useCase="no-such-use-case")

    site.release.api.create(body).must_succeed()

    wait_for_reason(site.release.api, body, "UnknownUseCase")
    poll(lambda: "UnknownUseCase" in events(site, "controller"))


def test_a_connection_token_is_issued_restored_and_counted(site: Site) -> None:
    api, client = site.release.api, site.running.client
    metadata = {"name": "shared", "namespace": EDGE}
    body = {"apiVersion": API_VERSION, "kind": "ConnectionConfiguration", "metadata": metadata}
    api.create({**body, "spec": {"deploymentType": "Kubernetes"}}).must_succeed()
    secret = {"kind": "Secret", "metadata": {"name": "shared-connection-token", "namespace": EDGE}}
    poll(lambda: api.get(body).get("status", {}).get("activeTokens") == 1)
    token = value_of(api.get(secret), "token")
    assert client.heartbeat(token, f"{EDGE}/shared").status == 204
    # A Secret that a user deletes or edits is restored.
    api.delete(secret).must_succeed()
    poll(lambda: api.find(secret) is not None)
    api.merge(secret, {"data": {"token": "eA=="}}).must_succeed()
    poll(lambda: value_of(api.get(secret), "token") == token)
    # The exchange stores the records of heartbeats, and changes them.
    poll(lambda: api.get(body)["status"].get("instances", {}).get("good") == 1)
    assert client.heartbeat(token, f"{EDGE}/shared", "press-2").status == 204
    poll(lambda: api.get(body)["status"].get("instances", {}).get("good") == 2)


def test_a_device_enrolls_and_is_rotated(site: Site) -> None:
    api, client, key = site.release.api, site.running.client, SigningKey.generate("ES256")
    body = a_pairing_token(EDGE, "cams") | {"spec": {"purpose": "DeviceProject", "projectKey": "cams"}}
    _, secret = issued(api, body)
    device = client.enroll(value_of(secret, "token"), key, name="cam").body
    assert client.check_in(device["device_id"], device["token"], key).status == 204
    metadata = {"name": "november", "namespace": EDGE}
    rotation = {"apiVersion": API_VERSION, "kind": "TokenRotation", "metadata": metadata}
    target = {"kind": "PairingToken", "name": "cams"}

    api.create({**rotation, "spec": {"targetRef": target}}).must_succeed()
    offered = poll(lambda: client.check_in(device["device_id"], device["token"], key).body)
    assert client.check_in(device["device_id"], offered["token"], key).status == 204

    wait_for_state(api, rotation, "Succeeded")


def test_a_device_is_revoked(site: Site) -> None:
    api, client, key = site.release.api, site.running.client, SigningKey.generate("ES256")
    body = a_pairing_token(EDGE, "gates") | {"spec": {"purpose": "DeviceProject", "projectKey": "gates"}}
    _, secret = issued(api, body)
    enrolled = client.enroll(value_of(secret, "token"), key, name="gate").body
    device = {"apiVersion": API_VERSION, "kind": "Device"}
    device["metadata"] = {"name": enrolled["device_id"], "namespace": EDGE}

    api.merge(device, {"spec": {"revoked": True}}).must_succeed()

    wait_for_state(api, device, "Revoked")


def test_a_service_requests_a_pairing_token_by_http(site: Site) -> None:
    api, client = site.release.api, site.running.client
    for role in ("tallystick-edit", "tallystick-usecase-mission-control"):
        grant(api, EDGE, VERIFIER, role)
    bearer = api.request_token(EDGE, "verifier", client.issuer)

    answer = request_pairing(client, bearer, b"{}")

    assert answer.status in (200, 201), answer.body


def test_a_join_key_is_shared_restored_and_deleted(site: Site) -> None:
    api = site.release.api
    master, body = a_master_key(EDGE), a_join_key(EDGE, targets=[{"namespace": FAR}])
    for one in (master, body):
        api.create(one).must_succeed()
    copy = {"kind": "Secret", "metadata": {"name": "jpd-1-join-key", "namespace": FAR}}
    wait_for_ready(api, body, "Shared")
    api.delete(copy).must_succeed()
    poll(lambda: api.find(copy) is not None)

    api.delete(body).must_succeed()

    wait_until_gone(api, body)
    assert api.find(copy) is None


def test_a_master_key_is_rotated_and_a_lost_one_is_named_and_put_back(site: Site) -> None:
    api, body = site.release.api, a_master_key(EDGE, "lost")
    api.create(body).must_succeed()
    wait_for_ready(api, body, "KeyStored")
    raise_serial(api, body)
    wait_for_ready(api, body, "KeyStored")
    backup = api.get(generated_secret_of(body))

    api.delete(backup).must_succeed()
    wait_for_ready(api, body, "KeyLost")
    put(api, a_secret(EDGE, "lost-master-key") | {"data": backup["data"]})

    wait_for_ready(api, body, "KeyStored")


def test_an_object_of_each_kind_that_a_watch_has_missed_is_read(site: Site) -> None:
    """A listing finds it 10 minutes later. If the controller may not read it, its work on the listing fails."""
    token = issued(site.release.api, a_pairing_token(EDGE, "missed"))[0]
    missed = Listing(listed=1, gone=(), missing=((EDGE, "missed"),), outdated=())

    async def run() -> None:
        connection = Connection(kubeconfig=site.release.account("tallystick-controller"))
        async with KubeCluster(connection, field_manager="test") as cluster:
            controller = a_controller(cluster)
            for kind in KINDS:
                await controller._on_listing(kind.resource, missed)
            assert not controller.is_news(PAIRING_TOKENS, "MODIFIED", token)

    asyncio.run(run())


def a_controller(cluster: KubeCluster) -> Controller:
    """A controller without watches, which works on listings that a test gives it."""
    clock, name = SystemClock(), LeaseName(HOME, "test", "test")

    async def no_keyring() -> None:
        """Leave the keyring alone."""

    engine = Engine(
        cluster=cluster,
        feed=FakeFeed(),
        worklist=Worklist(KINDS, clock, make_metrics(KINDS)),
        events=EventRecorder(cluster, clock, "test", on_suppressed=lambda: None),
        elector=LeaderElector(cluster, clock, name),
        make_keyring=no_keyring,
    )
    return Controller(engine, ControllerSettings(), parts=[])


def test_each_permission_is_used(site: Site) -> None:
    grants = granted(site.release.helm.objects(flags=["--skip-tests"]))
    unused = {str(permission) for permission in grants - used(site.release.plane.audit_log, HOME, grants)}

    here = f"chart/live/{__name__.rpartition('.')[2]}.py"
    elsewhere = {permission for permission, place in NEEDED_BY.items() if not place.startswith(here)}
    assert sorted(unused - elsewhere - NO_REQUEST) == [], "no test here and no test that is named uses them"
    assert len(grants) > 50


def test_each_permission_names_the_test_that_fails_without_it(site: Site) -> None:
    grants = granted(site.release.helm.objects(flags=["--skip-tests"]))

    assert {str(permission) for permission in grants} == NEEDED_BY.keys()


@pytest.mark.parametrize("place", sorted(set(NEEDED_BY.values())))
def test_the_named_tests_exist(place: str) -> None:
    file, _, name = place.partition("::")

    assert re.search(rf"^(async )?def {name}\(", (REPOSITORY / "tests" / file).read_text(), flags=re.MULTILINE)
