"""The control plane of this test run, asked from outside."""

import json
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tallystick.localplane.pki import issue_serving_certificate, prepare_pki
from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import answers, client_context
from tests.harness.processes import poll

READS = {"get", "list", "watch"}


def kubectl(plane: ControlPlane, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [plane.binaries.kubectl, "--kubeconfig", plane.kubeconfig, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def config_map(name: str, owner: dict[str, Any] | None = None) -> str:
    references = (
        []
        if owner is None
        else [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
            }
        ]
    )
    metadata = {"name": name, "ownerReferences": references}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    name = f"localplane-{uuid.uuid4().hex[:8]}"
    kubectl(plane, "create", "namespace", name)
    yield name
    kubectl(plane, "delete", "namespace", name, "--wait=false")


def test_the_pinned_version_answers_an_administrator(plane: ControlPlane) -> None:
    version = json.loads(kubectl(plane, "version", "-o", "json"))

    assert version["serverVersion"]["gitVersion"] == version["clientVersion"]["gitVersion"] == "v1.36.3"
    assert kubectl(plane, "auth", "can-i", "*", "*").strip() == "yes"
    assert kubectl(plane, "config", "current-context").strip() == "tallystick"


def test_keys_and_kubeconfig_are_closed_to_others(plane: ControlPlane) -> None:
    files = [path for path in plane.data_dir.rglob("*") if path.is_file() and "etcd" not in path.parent.parts]

    assert plane.data_dir.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in files} == {path.name: 0o600 for path in files}
    assert plane.kubeconfig in files
    assert plane.audit_log in files


def test_service_account_tokens_are_issued_and_reviewed(plane: ControlPlane, namespace: str) -> None:
    poll(lambda: "default" in kubectl(plane, "get", "serviceaccounts", "-n", namespace, "-o", "name"))
    token = kubectl(plane, "create", "token", "default", "-n", namespace, "--audience=exchange").strip()
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["exchange"]},
    }

    answer = json.loads(kubectl(plane, "create", "-f", "-", "-o", "json", stdin=json.dumps(review)))

    assert answer["status"]["authenticated"] is True
    assert answer["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:default"


def test_an_object_goes_when_its_owner_goes(plane: ControlPlane, namespace: str) -> None:
    create = ("create", "-n", namespace, "-o", "json", "-f", "-")
    owner = json.loads(kubectl(plane, *create, stdin=config_map("owner")))
    kubectl(plane, *create, stdin=config_map("owned", owner))

    kubectl(plane, "delete", "configmap", "owner", "-n", namespace)

    poll(lambda: "owned" not in kubectl(plane, "get", "configmaps", "-n", namespace, "-o", "name"), seconds=60)


def test_a_deleted_namespace_goes(plane: ControlPlane) -> None:
    name = f"localplane-{uuid.uuid4().hex[:8]}"
    kubectl(plane, "create", "namespace", name)

    kubectl(plane, "delete", "namespace", name, "--timeout=60s")

    assert name not in kubectl(plane, "get", "namespaces", "-o", "name")


def test_etcd_answers_its_own_clients_alone(plane: ControlPlane, tmp_path: Path) -> None:
    port = port_of(plane.etcd_server)
    no_one = ssl.create_default_context(cafile=str(plane.pki.etcd_ca.certificate))
    stranger = prepare_pki(tmp_path / "pki", now=datetime.now(UTC))

    assert answers(port, "/health", client_context(plane.pki.etcd_ca, plane.pki.etcd_client))
    assert not answers(port, "/health", no_one)
    assert not answers(port, "/health", client_context(plane.pki.etcd_ca, plane.pki.admin))
    assert not answers(port, "/health", client_context(plane.pki.etcd_ca, stranger.etcd_client))


def test_everything_listens_on_loopback_only(plane: ControlPlane) -> None:
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    pids = [f"pid={child.pid}," for child in plane.children]

    addresses = [line.split()[3] for line in listening if any(pid in line for pid in pids)]

    assert len(addresses) == 4
    assert {address.rpartition(":")[0] for address in addresses} == {"127.0.0.1"}


def test_the_audit_log_has_every_write_when_it_comes_and_when_it_was_answered_and_no_read(
    plane: ControlPlane, namespace: str
) -> None:
    arguments = ("-n", namespace)
    kubectl(plane, "create", *arguments, "-f", "-", stdin=config_map("written"))
    kubectl(plane, "get", "configmap", "written", *arguments)
    kubectl(plane, "patch", "configmap", "written", *arguments, "-p", '{"data": {"a": "b"}}')
    kubectl(plane, "delete", "configmap", "written", *arguments)

    def seen() -> list[dict[str, Any]]:
        return [json.loads(line) for line in plane.audit_log.read_text().splitlines(keepends=True) if line[-1] == "\n"]

    def lines() -> list[tuple[str, str]]:
        events = [event for event in seen() if event.get("objectRef", {}).get("namespace") == namespace]
        # A create is given its name when it is answered.
        ours = {event["auditID"] for event in events if event["objectRef"].get("name") == "written"}
        return [(event["verb"], event["stage"]) for event in events if event["auditID"] in ours]

    verbs, stages = ("create", "delete", "patch"), ("RequestReceived", "ResponseComplete")
    poll(lambda: sorted(lines()) == [(verb, stage) for verb in verbs for stage in stages])
    assert not READS & {event["verb"] for event in seen()}


def test_a_serving_certificate_of_the_plane_is_trusted_through_its_ca(plane: ControlPlane, tmp_path: Path) -> None:
    pair = issue_serving_certificate(plane.pki, "exchange", now=datetime.now(UTC), folder=tmp_path)
    (tmp_path / "ca.crt").write_text(plane.ca_pem)

    verified = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            tmp_path / "ca.crt",
            pair.certificate,
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert verified.returncode == 0, verified.stderr
