"""The admin token and pairing tokens over HTTP on running processes: what they are good for, and when they end."""

import base64
import csv
import io
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.localplane.plane import ControlPlane
from tallystick.pairing.domain.admin_token import ADMIN_SECRET
from tests.harness.canary import files, objects, of_token, search
from tests.harness.exchange import Replica, another_client, replica
from tests.harness.grants import grant
from tests.harness.installed import new_namespace
from tests.harness.objects import value_of
from tests.harness.pairing_site import claims_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.live.bootstrap.parts import SECRET_BODY, TRIGGER_BODY
from tests.live.bootstrap.started import PATH, ROLES, Started

Json = dict[str, Any]


@pytest.fixture(scope="module")
def started(vacant_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with Started.on(vacant_plane, tmp_path_factory.mktemp("started") / "up") as made:
        made.at_second(1)  # so that the tests may take as long as they do
        yield made


@pytest.fixture(scope="module")
def second(started: Started) -> Iterator[Replica]:
    with replica(started.system, started.system.up.folder.parent / "second") as running:
        yield running


def test_the_token_is_that_of_an_administrator_and_the_trigger_is_gone(started: Started) -> None:
    claims = claims_of(started.token)

    assert {name: claims[name] for name in ("sub", "aud", "scope")} == {
        "sub": "admin",
        "aud": "jfac@*",
        "scope": "applied-permissions/admin",
    }
    assert claims["exp"] - claims["iat"] == 900
    assert started.admin.find(TRIGGER_BODY) is None


@pytest.mark.timeout(600)
@pytest.mark.proof(gate=4, soak=200)
def test_each_requested_token_is_that_of_its_secret_and_is_redeemed_once(
    started: Started, second: Replica, rounds: int, figure: Figure
) -> None:
    # A caller may request 60 a minute at each replica.
    bearers = [started.token, *(started.caller("byte", "create", "use")[1] for _ in range(3))]
    same = redeemed = again = 0
    for number in range(rounds):
        url = second.url if number % 2 else ""
        body = started.ask(bearers[number // 2 % 4], url=url).must_succeed()
        metadata = {"name": f"{body['name']}-pairing-token", "namespace": body["namespace"]}
        same += value_of(started.admin.get({"kind": "Secret", "metadata": metadata}), "token") == body["pairing_token"]
        redeemed += started.system.exchange.redeem(body["pairing_token"]).status == 200
        again += started.system.exchange.redeem(body["pairing_token"]).status == 200
    assert (same, redeemed, again) == (rounds, rounds, 0)
    figure(f"{same} of {rounds} byte for byte over 2 replicas, {redeemed} redeemed once, {again} twice")


@pytest.mark.parametrize("rights", [(), ("create",), ("use",), ("create", "use")], ids=lambda one: "+".join(one) or "-")
def test_a_service_account_needs_both_rights(started: Started, rights: tuple[str, ...]) -> None:
    namespace, bearer = started.caller("rights", *rights)

    answer = started.ask(bearer)

    made = started.admin.find_all("PairingToken", namespace)
    if len(rights) == len(ROLES):
        assert (answer.status, answer.headers["Cache-Control"], len(made)) == (200, "no-store", 1)
        assert made[0]["spec"]["requestedBy"] == f"system:serviceaccount:{namespace}:press"
        assert claims_of(answer.body["pairing_token"])["sub"] == f"system:serviceaccount:{namespace}:press"
    else:
        missing = "cannot use usecases/mission-control" if "create" in rights else "cannot create pairingtokens"
        assert (answer.status, made) == (403, [])
        assert f"{missing} in namespace {namespace}" in answer.description


def test_a_right_elsewhere_is_none_here(started: Started) -> None:
    _, bearer = started.caller("elsewhere", "create", "use")
    namespace = new_namespace(started.admin, "here")

    assert started.ask(bearer, namespace=namespace).status == 403


def test_the_admin_token_is_refused_everywhere_but_here(started: Started) -> None:
    paths = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text())["paths"]
    refused = {}
    for path, operations in paths.items():
        if "post" not in operations or path in {"/v1/service_trust/pairing/{use_case}", "/oauth2/revoke"}:
            continue
        here = re.sub(r"\{\w+\}", DEFAULT_NAMESPACE, path)
        with_bearer = started.ask(started.token, path=here, instance_id="a", deployment_type="Kubernetes")
        bearer = {"Authorization": f"Bearer {started.token}"}
        with_form = started.system.exchange.post(here, {"token": started.token}, bearer)
        refused[path] = {with_bearer.status, with_form.status}
    redeemed = started.system.exchange.redeem(started.token)
    namespaces = [one["metadata"]["name"] for one in started.admin.find_all("Namespace", "")]
    elsewhere = {started.ask(started.token, namespace=name).status for name in namespaces if name != DEFAULT_NAMESPACE}
    at_the_api_server = status_at(started.system.plane, started.token)

    assert refused
    assert {status for statuses in refused.values() for status in statuses} <= {400, 401, 403, 404, 415}
    assert (redeemed.status, elsewhere, at_the_api_server) == (400, {403}, 401)
    assert started.ask(started.token).status == 200


def status_at(plane: ControlPlane, bearer: str) -> int:
    """Send a bearer token to the API server, without the client certificate of the administrator."""
    (cluster,) = yaml.safe_load(plane.kubeconfig.read_text())["clusters"]
    authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()
    with urllib3.PoolManager(ssl_context=ssl.create_default_context(cadata=authority), retries=False) as pool:
        url, headers = f"{cluster['cluster']['server']}/api/v1/namespaces", {"Authorization": f"Bearer {bearer}"}
        return pool.request("GET", url, headers=headers).status


@pytest.mark.proof(gate=200, soak=10_000)
def test_garbage_bearers_cost_no_api_call(started: Started, rounds: int, figure: Figure) -> None:
    exchange = started.system.exchange
    before = exchange.api_calls("review"), exchange.api_calls("create")

    # An address of its own, whose failures slow down no other test.
    with another_client(started.system) as client:
        form = {"Content-Type": "application/json"}
        guesses = ({"Authorization": f"Bearer garbage-{number}", **form} for number in range(rounds))
        statuses = {client._send("POST", PATH, b"{}", headers).status for headers in guesses}

    after = exchange.api_calls("review"), exchange.api_calls("create")
    assert statuses <= {401, 429}
    assert after == before
    figure(f"{rounds} garbage bearers: {sum(after) - sum(before):.0f} API calls")


def test_r13_a_whole_pairing_is_exported_from_the_logs_of_all_processes(started: Started, second: Replica) -> None:
    namespace, bearer = started.caller("export", "create", "use")
    issued = started.ask(bearer, url=second.url).must_succeed()
    started.system.exchange.redeem(issued["pairing_token"]).must_succeed()
    folder = started.system.up.folder
    logs = [*folder.glob("audit-*.jsonl"), folder.parent / "second" / "audit.jsonl"]

    command = [sys.executable, "-m", "tallystick", "audit", "export", *map(str, logs), "--format", "csv"]
    exported = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    rows = [row for row in csv.DictReader(io.StringIO(exported)) if row["namespace"] == namespace]
    of_token = [(row["component"], row["action"], row["outcome"]) for row in rows if row["name"] == issued["name"]]
    assert sorted(of_token) == [
        ("controller", "issue", "ok"),
        ("exchange", "redeem", "ok"),
        ("exchange", "request", "ok"),
    ]
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


def test_no_value_is_anywhere_but_in_its_secret(started: Started, figure: Figure) -> None:
    _, bearer = started.caller("canary", "create", "use")
    issued = started.ask(bearer).must_succeed()
    holders = [
        (DEFAULT_NAMESPACE, ADMIN_SECRET),
        (DEFAULT_NAMESPACE, "tallystick-keyring"),
        (issued["namespace"], f"{issued['name']}-pairing-token"),
    ]
    needles = of_token("admin token", started.token) | of_token("pairing token", issued["pairing_token"])
    folder = started.system.up.folder
    sinks = {
        **objects(started.admin, holders),
        **files(folder.parent, leave_out=folder / "run"),
        "metrics": started.system.exchange.page("/metrics"),
        "audit.log": started.system.plane.audit_log.read_bytes(),
    }

    hits = search(sinks, needles)

    assert hits == set()
    figure(f"{len(sinks)} sinks: {len(hits)} hits")


def test_the_secret_goes_at_60_seconds_and_the_token_at_900(started: Started) -> None:
    """The last test of the file: afterwards the clock stands, and the token is revoked."""
    exchange, admin = started.system.exchange, started.admin
    watcher = f"system:serviceaccount:{DEFAULT_NAMESPACE}:watcher"
    account = {"kind": "ServiceAccount", "metadata": {"name": "watcher", "namespace": DEFAULT_NAMESPACE}}
    admin.create({"apiVersion": "v1", **account}).must_succeed()
    grant(admin, DEFAULT_NAMESPACE, watcher, "tallystick-introspect")
    bearer = admin.request_token(DEFAULT_NAMESPACE, "watcher", exchange.issuer)
    claims = claims_of(started.token)
    master = {
        "kind": "MasterToken",
        "metadata": {"name": f"mtok-{claims['jti']}", "namespace": DEFAULT_NAMESPACE},
    }

    started.at_second(59)
    started.ask(started.token).must_succeed()  # the controller has had the occasion to do more
    at_59 = admin.find(SECRET_BODY)
    started.at_second(60)
    poll(lambda: admin.find(SECRET_BODY) is None)
    started.at_second(899)
    at_899 = started.ask(started.token).status, exchange.introspect(started.token, bearer).body["active"]
    state_at_899 = admin.get(master)["status"]["state"]
    started.at_second(900)
    at_900 = started.ask(started.token).status, exchange.introspect(started.token, bearer).body["active"]
    poll(lambda: admin.get(master)["status"]["state"] == "Revoked")

    assert at_59 is not None
    assert (at_899, state_at_899, at_900) == ((200, True), "Active", (401, False))
    # The controller writes the event after the status.
    events = poll(lambda: admin.find_all("Event", DEFAULT_NAMESPACE, fieldSelector="reason=Revoked"))
    assert [event["involvedObject"]["name"] for event in events] == [master["metadata"]["name"]]
