"""`tallystick check` as a person and as the pod of `helm test` run it: with few permissions, and storing nothing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.install.installation import Installation
from tallystick.kube.connection import Connection
from tallystick.kube.kubeconfig_entries import cluster_document
from tallystick.localplane.pki import prepare_serving
from tallystick.registry import KINDS
from tests.harness.api import Api
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]

ACCOUNT = "tallystick-check"
RBAC = "rbac.authorization.k8s.io"
# All that it needs; docs/processes.md lists the same.
RULES: list[Json] = [
    {
        "apiGroups": ["tallystick.dev"],
        "resources": ["pairingtokens", "mastertokens", "joinkeys", "devices"],
        "verbs": ["create"],
    },
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get"],
        "resourceNames": ["tallystick-controller"],
    },
    {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "verbs": ["get"],
        "resourceNames": ["tallystick-controller", "tallystick-exchange"],
    },
]


def checked(system: System, *flags: str, kubeconfig: Path | None = None, seconds: float = 300.0) -> tuple[int, str]:
    """Run the command as a user does; return its exit status and what it prints."""
    up = system.up
    command = [sys.executable, "-m", "tallystick", "check", "--kubeconfig", str(kubeconfig or up.kubeconfig)]
    command += ["--public-urls", up.url, "--ca-file", str(up.ca_file), *flags]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=seconds, check=False)
    return done.returncode, done.stdout + done.stderr


def role(rules: list[Json]) -> Json:
    metadata = {"name": ACCOUNT, "namespace": DEFAULT_NAMESPACE}
    return {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules}


@pytest.fixture
def small(system: System, admin: Api, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of a ServiceAccount with these rules alone."""
    metadata = {"name": ACCOUNT, "namespace": DEFAULT_NAMESPACE}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": DEFAULT_NAMESPACE}],
    }
    bodies = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, role(RULES), binding]
    for body in bodies:
        admin.create(body).must_succeed()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "one", "cluster": cluster_document(Connection(kubeconfig=system.plane.kubeconfig).cluster)}
        ],
        "users": [{"name": "one", "user": {"token": admin.request_token(DEFAULT_NAMESPACE, ACCOUNT)}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    yield file
    for body in reversed(bodies):
        admin.delete(body).must_succeed()


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()[:2]) for line in text.splitlines()]


def stored(admin: Api) -> set[tuple[str, str]]:
    kinds = ("PairingToken", "MasterToken", "JoinKey", "MasterKey", "Device", "Secret", "ConfigMap", "Lease")
    return {(kind, one["metadata"]["uid"]) for kind in kinds for one in admin.find_all(kind, DEFAULT_NAMESPACE)}


def test_a_small_account_checks_the_whole_installation_and_stores_nothing(
    system: System, admin: Api, small: Path
) -> None:
    before = stored(admin)

    status, text = checked(system, kubeconfig=small)

    assert status == 0, text
    assert f"the API server serves all {len(KINDS)} kinds" in text
    assert f"{system.up.url}, with " in text
    assert lines_of(text)[-1] == "All 10"
    assert lines_of(text).count("skip replicas") == 2
    assert stored(admin) - before == set()


@pytest.mark.parametrize(
    ("taken", "line"),
    [
        pytest.param("pairingtokens", "FAIL admission", id="pairingtokens"),
        pytest.param("mastertokens", "FAIL admission", id="mastertokens"),
        pytest.param("joinkeys", "FAIL admission", id="joinkeys"),
        pytest.param("devices", "FAIL admission", id="devices"),
        pytest.param("leases", "FAIL leader", id="leases"),
        pytest.param("deployments", "FAIL replicas", id="deployments"),
    ],
)
def test_each_permission_is_needed(system: System, admin: Api, small: Path, taken: str, line: str) -> None:
    fewer = [
        {**rule, "resources": left} for rule in RULES if (left := [one for one in rule["resources"] if one != taken])
    ]
    admin.update(role(fewer)).must_succeed()

    status, text = checked(system, kubeconfig=small)

    assert status == 1, text
    assert line in lines_of(text)
    assert f'cannot create resource "{taken}"' in text or f'cannot get resource "{taken}"' in text


def test_a_policy_that_is_not_in_force_fails_until_it_is(system: System, admin: Api) -> None:
    """The binding is put back while the command waits."""
    body = {"kind": "MutatingAdmissionPolicyBinding", "apiVersion": "admissionregistration.k8s.io/v1"}
    body |= {"metadata": {"name": Installation().cluster_name("requester")}}
    stored = admin.get(body)
    admin.delete(body).must_succeed()
    try:
        # Until the API server does without the binding, the command finds nothing.
        text = poll(lambda: _failure(system))

        assert "FAIL admission not so: the mutation of the requester is in force" in " ".join(text.split())

        async def both() -> tuple[int, str]:
            waiting = asyncio.create_task(asyncio.to_thread(checked, system, "--wait", "2m"))
            stored["metadata"] = {"name": stored["metadata"]["name"]}
            admin.create(stored).must_succeed()
            return await waiting

        status, text = asyncio.run(both())
        assert (status, text.splitlines()[-1]) == (0, "All 10 checks passed.")
    finally:
        if admin.find(body) is None:
            stored["metadata"] = {"name": stored["metadata"]["name"]}
            admin.create(stored).must_succeed()


def _failure(system: System) -> str:
    status, text = checked(system)
    return text if status == 1 else ""


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        pytest.param(("--issuer", "https://other.example"), "FAIL issuer", id="another issuer"),
        pytest.param(("--public-urls", "https://127.0.0.1:1"), "FAIL exchange", id="no exchange"),
        pytest.param(("--namespace", "default"), "FAIL leader", id="a namespace without an operator"),
    ],
)
def test_what_is_not_so_is_a_line_and_the_status_1(system: System, flags: tuple[str, ...], line: str) -> None:
    status, text = checked(system, *flags)

    assert (status, line in lines_of(text)) == (1, True), text


def test_a_certificate_of_another_ca_is_not_trusted(system: System, tmp_path: Path) -> None:
    other, _ = prepare_serving(tmp_path / "pki", "other", now=datetime.now(UTC))
    status, text = checked(system, "--ca-file", str(other.certificate))
    flat = " ".join(text.split())

    assert status == 1
    assert f"FAIL exchange {system.up.url}: its certificate is not trusted" in flat
    assert "set --ca-file to the CA of the exchange" in flat


def test_a_wrong_command_line_has_the_status_2(system: System) -> None:
    assert checked(system, "--no-such-flag")[0] == 2
    assert checked(system, "--wait", "soon")[0] == 1
