"""The certificate that the operator makes for the exchange, on a real API server: under kills, rivals and time."""

import asyncio
import base64
import itertools
import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509

from tallystick.cli.identities import Identity
from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.controller.serving_certificate import ServingCertificate
from tallystick.controller.serving_plan import Names
from tallystick.crypto.certificates import SERVING_LIFETIME, is_signed_by, renewal_time
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.children import Child
from tallystick.localplane.folders import private_folder
from tallystick.localplane.probe import free_ports
from tallystick.objects.context import Context
from tallystick.objects.server_clock import ServerClock
from tallystick.runtime.clock import SystemClock
from tests.fakes import MemoryAudit, MemoryEvents
from tests.harness import clock
from tests.harness.api import Api
from tests.harness.clock import MovedClock
from tests.harness.controllers import Controllers, controllers
from tests.harness.objects import (
    a_pairing_token,
    condition,
    issued,
    secret_of,
    value_of,
    wait_for_reason,
    wait_for_state,
)
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import REPOSITORY, ROOT

__all__ = ["controllers"]

Json = dict[str, Any]

SERVICE = "tallystick-exchange"
SERVICE_NAME = f"{SERVICE}.{DEFAULT_NAMESPACE}.svc"
WITH_TLS = {"TALLYSTICK_TLS_SERVICE": SERVICE}
CA, TLS = f"{SERVICE}-ca", f"{SERVICE}-tls"
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME: the time of the test's clock is not that of this process.
NO_CHECK_TIME = 0x200000


def secret(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": DEFAULT_NAMESPACE}}


@dataclass(frozen=True, slots=True)
class Stored:
    """The two Secrets, as the API server has them."""

    api: Api

    def body(self, name: str) -> Json | None:
        return self.api.find(secret(name))

    def data(self, name: str, key: str) -> bytes:
        return base64.b64decode(self.api.get(secret(name))["data"][key])

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.data(name, "tls.crt"))

    def is_complete(self) -> bool:
        return self.body(CA) is not None and self.body(TLS) is not None and self.is_sound()

    def is_sound(self) -> bool:
        """Whether the certificate, its key and `ca.crt` belong to the CA."""
        found = self.certificate(TLS)
        key = ssl.create_default_context(cadata=self.data(TLS, "ca.crt").decode())
        assert key.cert_store_stats()["x509_ca"] == 1
        return is_signed_by(found, self.certificate(CA)) and self.data(TLS, "ca.crt") == self.data(CA, "tls.crt")

    def remove(self) -> None:
        for name in (CA, TLS):
            if self.body(name) is not None:
                self.api.delete(secret(name)).must_succeed()


@pytest.fixture
def stored(controllers: Controllers) -> Iterator[Stored]:
    """No Secret of an earlier test is there."""
    found = Stored(controllers.admin)
    found.remove()
    yield found
    found.remove()


# Where the leader is killed, and whether CA and certificate are stored then. A GET that finds nothing has no "after".
POINTS = {
    f"before:get:secrets/{CA}": (False, False),
    f"before:create:secrets/{CA}": (False, False),
    f"after:create:secrets/{CA}": (True, False),
    f"after:get:secrets/{CA}": (True, False),
    f"before:create:secrets/{TLS}": (True, False),
    f"after:create:secrets/{TLS}": (True, True),
    f"after:get:secrets/{TLS}": (True, True),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_leader_that_is_killed_between_two_writes_leaves_what_the_next_one_completes(
    controllers: Controllers, stored: Stored, point: str
) -> None:
    controllers.die(point, **WITH_TLS)
    left = {name: stored.body(name) for name in (CA, TLS)}

    with controllers.leading(**WITH_TLS):
        poll(stored.is_complete)

    assert (left[CA] is not None, left[TLS] is not None) == POINTS[point]
    for name, body in left.items():
        assert body in (None, stored.body(name))


@pytest.mark.proof(gate=10, soak=200)
async def test_of_two_leaders_at_once_there_is_one_ca_and_one_certificate(
    controllers: Controllers, stored: Stored, rounds: int, figure: Figure
) -> None:
    """A Lease does not fence. Both run on connections of their own, as two processes would."""
    names = Names.of(SERVICE, DEFAULT_NAMESPACE, [controllers.url])
    connection = Connection(kubeconfig=controllers.identity.kubeconfig)
    clusters = [KubeCluster(connection, field_manager=f"leader-{number}") for number in range(2)]
    try:
        for _ in range(rounds):
            stored.remove()
            audits = [MemoryAudit(), MemoryAudit()]
            leaders = [_leader(cluster, names, audit) for cluster, audit in zip(clusters, audits, strict=True)]
            await asyncio.gather(*(leader.run() for leader in leaders))

            assert stored.is_sound()
            assert {leader.ca_pem().encode() for leader in leaders} == {stored.data(CA, "tls.crt")}
            made = [line.action for audit in audits for line in audit.lines]
            assert sorted(made) == ["create-ca", "issue-certificate"]
    finally:
        for cluster in clusters:
            await cluster.close()
    figure(f"{rounds} rounds of two leaders: one CA and one certificate in each")


def _leader(cluster: KubeCluster, names: Names, audit: MemoryAudit) -> ServingCertificate:
    time = SystemClock()
    ctx = Context(time, ServerClock(time), audit, MemoryEvents())
    return ServingCertificate(cluster, ctx, names, on_new_ca=lambda: None, on_expiry=lambda _: None)


@dataclass(frozen=True, slots=True)
class Mounted:
    """A folder with the Secret of the certificate, as a kubelet mounts it: files that are links, and a swap."""

    folder: Path
    stored: Stored

    def update(self) -> None:
        body = self.stored.api.get(secret(TLS))
        fresh = self.folder / f"..{body['metadata']['resourceVersion']}"
        fresh.mkdir(exist_ok=True)
        for key, value in body["data"].items():
            (fresh / key).write_bytes(base64.b64decode(value))
            link = self.folder / key
            if not link.is_symlink():
                link.symlink_to(f"..data/{key}")
        (self.folder / "..new").symlink_to(fresh.name)
        (self.folder / "..new").rename(self.folder / "..data")


@contextmanager
def an_exchange(controllers: Controllers, mounted: Mounted, folder: Path) -> Iterator[tuple[Child, int, str]]:
    """Run an exchange with the mounted files, ready; yield it, its port and the URL of its health server."""
    port, health = free_ports(2)
    identity = Identity(DEFAULT_NAMESPACE, EXCHANGE, private_folder(folder))
    connection = Connection(kubeconfig=controllers.plane.kubeconfig)

    async def identify() -> None:
        async with KubeCluster(connection, field_manager="tests") as cluster:
            await identity.renew(cluster)

    asyncio.run(identify())
    identity.write_kubeconfig(connection)
    flags = {
        "--kubeconfig": str(identity.kubeconfig),
        "--namespace": DEFAULT_NAMESPACE,
        "--public-urls": controllers.url,
        "--audit-log": str(folder / "audit.jsonl"),
        "--listen": f"127.0.0.1:{port}",
        "--health-listen": f"127.0.0.1:{health}",
        "--tls-cert": str(mounted.folder / "tls.crt"),
        "--tls-key": str(mounted.folder / "tls.key"),
    }
    environment = {**os.environ, clock.VARIABLE: str(controllers.folder / "clock"), "PYTHONPATH": str(REPOSITORY)}
    command = [*ROOT, EXCHANGE, *itertools.chain.from_iterable(flags.items())]
    child = Child.spawn(EXCHANGE, command, log=folder / "exchange.log", environment=environment)
    try:
        poll(lambda: _is_ready(child, f"http://127.0.0.1:{health}"))
        yield child, port, f"http://127.0.0.1:{health}"
    finally:
        child.stop(grace=30.0)


def _is_ready(child: Child, health: str) -> bool:
    assert child.running, child.exit_text()
    try:
        return urllib3.request("GET", f"{health}/readyz", retries=False, timeout=10.0).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def connected(port: int, ca_pem: str, name: str) -> ssl.SSLSocket:
    """Connect as a client that trusts this CA; raises SSLError if the certificate is not good for the name."""
    context = ssl.create_default_context(cadata=ca_pem)
    context.verify_flags |= NO_CHECK_TIME
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60.0), server_hostname=name)


def asked(client: ssl.SSLSocket) -> bytes:
    """Read the first line of an answer over a connection that stays open."""
    client.sendall(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = client.recv(65536)
    return answer.partition(b"\r\n")[0]


def served(port: int) -> x509.Certificate:
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode())


def test_the_exchange_serves_it_and_a_renewed_one_without_a_restart(
    controllers: Controllers, stored: Stored, tmp_path: Path
) -> None:
    """The clock of both processes goes forward; a client keeps the `ca.crt` of the first day."""
    moved = MovedClock(controllers.folder / "clock")
    token = a_pairing_token("default", "of-the-first-day")
    (tmp_path / "mounted").mkdir()
    mounted = Mounted(tmp_path / "mounted", stored)
    with controllers.leading(**WITH_TLS) as leader:
        poll(stored.is_complete)
        ca_pem = value_of(issued(controllers.admin, token)[1], "ca.crt")
        mounted.update()
        with an_exchange(controllers, mounted, tmp_path / "exchange") as (child, port, health):
            first = served(port)
            with connected(port, ca_pem, SERVICE_NAME) as open_before:
                assert asked(open_before) == b"HTTP/1.1 200 OK"

                moved.advance(renewal_time(first) - moved.now() + timedelta(seconds=1))
                poll(lambda: stored.certificate(TLS) != first)
                mounted.update()
                poll(lambda: served(port) != first)

                assert asked(open_before) == b"HTTP/1.1 200 OK"
            for name in (SERVICE_NAME, SERVICE, "exchange.example"):
                with connected(port, ca_pem, name) as client:
                    assert asked(client) == b"HTTP/1.1 200 OK"
            with pytest.raises(ssl.SSLCertVerificationError):
                connected(port, ca_pem, "elsewhere.example")
            renewed = served(port)
            metrics = urllib3.request("GET", f"{health}/metrics", timeout=60.0).data.decode()
            assert child.running
        assert leader.child.running

    expiry = renewed.not_valid_after_utc
    assert stored.is_sound()
    assert renewed.not_valid_before_utc > first.not_valid_before_utc + SERVING_LIFETIME / 2
    (figure,) = re.findall(r"^tallystick_certificate_expiration_timestamp_seconds (\S+)$", metrics, re.MULTILINE)
    assert float(figure) == expiry.timestamp()
    controllers.admin.delete(token).must_succeed()


def test_a_foreign_secret_stops_the_issue_of_tokens_with_what_to_do_and_its_end_lets_it_go_on(
    controllers: Controllers, stored: Stored
) -> None:
    admin, token = controllers.admin, a_pairing_token("default", "beside-a-foreign-secret")
    theirs = admin.create({**secret(TLS), "type": "Opaque", "data": {"tls.crt": "bWluZQ=="}}).must_succeed()
    with controllers.leading(**WITH_TLS) as leader:
        admin.create(token).must_succeed()
        blocked = wait_for_reason(admin, token, "CertificateBlocked")
        events = poll(lambda: admin.find_all("Event", DEFAULT_NAMESPACE, fieldSelector="reason=CertificateBlocked"))

        text = f"Secret {DEFAULT_NAMESPACE}/{TLS} exists and the operator has not made it, so it is not changed."
        assert text in condition(blocked, "Ready")["message"]
        assert text in leader.get("/readyz")
        assert (events[0]["involvedObject"]["name"], events[0]["message"].startswith(text)) == (TLS, True)
        assert admin.get(secret(TLS)) == theirs
        assert stored.body(CA) is None

        admin.delete(secret(TLS)).must_succeed()
        poll(stored.is_complete)
        wait_for_state(admin, token, "Active")
        assert value_of(admin.get(secret_of(token)), "ca.crt").encode() == stored.data(CA, "tls.crt")
        poll(lambda: "certificate" not in leader.get("/readyz"))
    admin.delete(token).must_succeed()


def test_another_ca_is_in_the_secrets_of_tokens_without_a_restart(controllers: Controllers, stored: Stored) -> None:
    admin, token = controllers.admin, a_pairing_token("default", "of-two-authorities")
    with controllers.leading(**WITH_TLS) as leader:
        poll(stored.is_complete)
        before = value_of(issued(admin, token)[1], "ca.crt")
        # A user gives up the CA on purpose, as the text of a lost one says.
        stored.remove()
        poll(stored.is_complete)

        def shown() -> str:
            return value_of(admin.get(secret_of(token)), "ca.crt")

        poll(lambda: shown().encode() == stored.data(CA, "tls.crt"))
        assert shown() != before
        assert leader.child.running
    admin.delete(token).must_succeed()


def test_s30_only_the_controller_may_read_the_key_of_the_ca(controllers: Controllers) -> None:
    installation, admin = Installation(), controllers.admin

    def may_read(account: str) -> bool:
        return admin.allowed(
            installation.service_account(account), "get", "secrets", namespace=DEFAULT_NAMESPACE, name=CA, group=""
        )

    assert (may_read(CONTROLLER), may_read(EXCHANGE)) == (True, False)


def test_a_ca_of_ones_own_and_one_of_the_operator_exclude_each_other(controllers: Controllers, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("")
    both = replace(controllers, ca_file=tmp_path / "ca.crt")
    process = both._spawn("", **WITH_TLS)

    assert process.child.wait(60.0) == 1
    assert "leave one of the two flags out" in process.child.log.read_text()
