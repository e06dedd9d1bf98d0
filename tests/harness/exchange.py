"""The exchange as its clients meet it: HTTP over TLS with the CA that they were given, and further replicas of it.

Nothing of the operator's own clients is used here, except what makes a DPoP proof.
"""

import itertools
import json
import os
import re
import ssl
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.dpop import make_proof
from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import EXCHANGE
from tallystick.localplane.children import Child
from tallystick.localplane.folders import private_folder
from tallystick.localplane.probe import free_ports
from tests.harness import clock, failpoints
from tests.harness.clock import MovedClock
from tests.harness.processes import ended, poll
from tests.harness.system import REPOSITORY, ROOT, System, health_urls

Json = dict[str, Any]

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"

# The exchange bounds the failures of each source. A client of a test that fails on purpose is a source of its own,
# so that it does not use up what others have: on Linux all of 127.0.0.0/8 is this machine.
_SOURCES = itertools.count(2)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back. A status of 0: the connection ended without an answer."""

    status: int
    body: Json
    headers: Mapping[str, str]

    @property
    def description(self) -> str:
        """The text of a refusal: of OAuth's, or of a problem (RFC 9457)."""
        return str(self.body.get("error_description") or self.body.get("detail") or "")

    def must_succeed(self) -> Json:
        """Give the body, for steps that only prepare a test."""
        assert self.status == HTTPStatus.OK, (self.status, self.body)
        return self.body


@dataclass(frozen=True, slots=True)
class Exchange:
    """A client of one replica.

    Attributes:
        url: Where the replica listens.
        issuer: The URL under which all replicas are known; proofs name it.
    """

    pool: urllib3.PoolManager
    url: str
    issuer: str
    clock: MovedClock

    @classmethod
    @contextmanager
    def connect(cls, url: str, *, issuer: str, ca_file: Path, clock: MovedClock) -> Iterator["Exchange"]:
        """Connect as a source that no other client is."""
        number = next(_SOURCES)
        source = f"127.0.{number // 250}.{number % 250 + 1}" if sys.platform == "linux" else "127.0.0.1"
        with urllib3.PoolManager(
            ssl_context=ssl.create_default_context(cafile=str(ca_file)),
            source_address=(source, 0),
            retries=False,
            timeout=60.0,
            maxsize=32,
        ) as pool:
            yield cls(pool, url, issuer, clock)

    def at(self, url: str) -> "Exchange":
        """The same client, of another replica."""
        return replace(self, url=url)

    def get(self, path: str) -> HttpAnswer:
        return self._send("GET", path)

    def page(self, path: str) -> bytes:
        """Fetch a page of the health server of the replica."""
        return self._health(path).data

    def ready(self) -> HttpAnswer:
        """Ask the health server of the replica whether it can serve."""
        try:
            answer = self._health("/readyz")
        except urllib3.exceptions.HTTPError:
            return HttpAnswer(0, {}, {})
        return HttpAnswer(answer.status, json.loads(answer.data), answer.headers)

    def _health(self, path: str) -> urllib3.BaseHTTPResponse:
        return urllib3.request("GET", health_urls[self.url] + path, retries=False, timeout=60.0)

    def redeem(self, token: str, *, key: SigningKey | None = None, proof: str = "", **parameters: str) -> HttpAnswer:
        """Ask for a master token, with a proof of possession of `key` where there is one."""
        form = {"grant_type": GRANT, "subject_token": token, "subject_token_type": JWT_TYPE, **parameters}
        shown = proof or (self.proof(key) if key else "")
        return self.post("/oauth2/token", form, {"DPoP": shown} if shown else {})

    def proof(self, key: SigningKey, *, url: str = "", method: str = "POST", access_token: str | None = None) -> str:
        """Make a proof for the token endpoint, or for another URL; with a token, for that token alone."""
        url = url or f"{self.issuer}/oauth2/token"
        proof_id = str(uuid.uuid4())
        now = self.clock.now()
        return make_proof(key, method=method, url=url, now=now, proof_id=proof_id, access_token=access_token)

    def introspect(self, token: str, bearer: str | None, *, deployment_type: str | None = None) -> HttpAnswer:
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        used_in = {} if deployment_type is None else {"deployment_type": deployment_type}
        return self.post("/oauth2/introspect", {"token": token, **used_in}, headers)

    def heartbeat(
        self, token: str, connection: str, instance: str = "press-1", *, deployment_type: str = "Kubernetes"
    ) -> HttpAnswer:
        """Send a heartbeat to the connection `namespace/name`. 204 is a good answer."""
        body = {"instance_id": instance, "deployment_type": deployment_type}
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self._send("POST", f"/v1/connections/{connection}/heartbeat", json.dumps(body).encode(), headers)

    def enroll(self, value: str, key: SigningKey | None, *, name: str = "", proof: str = "") -> HttpAnswer:
        """Enroll a device with the value of a PairingToken, and with a proof of its key where it has one."""
        shown = proof or (self.proof(key, url=f"{self.issuer}/v1/devices") if key else "")
        return self._send_json("/v1/devices", f"Bearer {value}", shown, {"name": name} if name else None)

    def check_in(
        self, device: str, copy: str, key: SigningKey | None, *, failed: Json | None = None, proof: str = ""
    ) -> HttpAnswer:
        """Check in with a copy, and with a proof of its key where it has one. 204 and 200 are good answers."""
        path = f"/v1/devices/{device}/check-in"
        shown = proof or (self.proof(key, url=self.issuer + path, access_token=copy) if key else "")
        return self._send_json(path, f"{'DPoP' if shown else 'Bearer'} {copy}", shown, failed and {"failed": failed})

    def _send_json(self, path: str, authorization: str, proof: str, body: Json | None) -> HttpAnswer:
        headers = {"Authorization": authorization} | ({"DPoP": proof} if proof else {})
        if body is None:
            return self._send("POST", path, b"", headers)
        return self._send("POST", path, json.dumps(body).encode(), headers | {"Content-Type": "application/json"})

    def revoke(self, token: str, *, key: SigningKey | None = None, proof: str = "") -> HttpAnswer:
        """Revoke a token, with a proof of possession of `key` where there is one."""
        shown = proof or (self.proof(key, url=f"{self.issuer}/oauth2/revoke", access_token=token) if key else "")
        return self.post("/oauth2/revoke", {"token": token}, {"DPoP": shown} if shown else {})

    def post(self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> HttpAnswer:
        content = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._send("POST", path, urlencode(form).encode(), content)

    def api_calls(self, verb: str = "") -> float:
        """How many calls of the API server the replica has made, of one verb or of all."""
        text = self.page("/metrics").decode()
        lines = re.findall(r'^tallystick_api_calls_total\{code="[^"]*",verb="([^"]*)"\} (\S+)$', text, re.MULTILINE)
        return sum(float(value) for counted, value in lines if verb in ("", counted))

    def _send(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        try:
            answer = self.pool.request(method, self.url + path, body=content, headers=headers or {})
        except (urllib3.exceptions.ProtocolError, urllib3.exceptions.NewConnectionError):
            return HttpAnswer(0, {}, {})
        body = json.loads(answer.data) if answer.data[:1] == b"{" else {}
        return HttpAnswer(answer.status, body, answer.headers)


@dataclass(frozen=True, slots=True)
class Replica:
    """One more exchange process of a system."""

    url: str
    child: Child

    @property
    def ended(self) -> bool:
        return ended(self.child.pid)


@contextmanager
def replica(
    system: System,
    folder: Path,
    *,
    failpoint: str = "",
    flags: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    url: str = "",
    until_ready: bool = True,
) -> Iterator[Replica]:
    """Start one more exchange, as replicas run behind one URL: the same issuer, account and certificate.

    Args:
        system: whose exchange it is.
        folder: where its log goes.
        failpoint: where it dies, such as `after:create:mastertokens`; '' is nowhere.
        flags: further flags, or other values of those that it is given.
        environment: further variables, or other values of those that it is given, such as a clock of its own.
        until_ready: whether to wait until it can serve.
        url: where it listens, if the flags say so; its health server is in `health_urls`. '' is a free port.
    """
    up, run = system.up, system.up.folder / "run"
    listen, health = (f"127.0.0.1:{port}" for port in free_ports(2))
    url = url or f"https://{listen}"
    health_urls.setdefault(url, f"http://{health}")
    given = {
        "--kubeconfig": str(run / f"{EXCHANGE}.kubeconfig"),
        "--namespace": DEFAULT_NAMESPACE,
        "--public-urls": up.url,
        "--audit-log": str(private_folder(folder) / "audit.jsonl"),
        "--listen": listen,
        "--health-listen": health,
        "--tls-cert": str(run / "exchange.crt"),
        "--tls-key": str(run / "exchange.key"),
        **(flags or {}),
    }
    variables = {clock.VARIABLE: str(up.folder / "clock"), "PYTHONPATH": str(REPOSITORY), **(environment or {})}
    if failpoint:
        variables[failpoints.VARIABLE] = failpoint
    command = [*ROOT, EXCHANGE, *itertools.chain.from_iterable(given.items())]
    child = Child.spawn("exchange", command, log=folder / "exchange.log", environment={**os.environ, **variables})
    try:
        with Exchange.connect(url, issuer=up.url, ca_file=up.ca_file, clock=system.clock) as client:
            poll(lambda: not until_ready or _ready(child, client))
        yield Replica(url, child)
    finally:
        child.stop()


def _ready(child: Child, client: Exchange) -> bool:
    assert child.running, child.exit_text()
    return client.ready().status == HTTPStatus.OK


@pytest.fixture(scope="session")
def second_replica(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A second exchange beside the system's own, shared by the tests of a run."""
    with replica(system, tmp_path_factory.mktemp("second-replica") / "exchange") as running:
        yield running


@contextmanager
def another_client(system: System) -> Iterator[Exchange]:
    """A client of the system's exchange, from an address of its own."""
    up = system.up
    with Exchange.connect(up.url, issuer=up.url, ca_file=up.ca_file, clock=system.clock) as client:
        yield client


@pytest.fixture
def exchange(system: System) -> Iterator[Exchange]:
    """A client of the system's exchange."""
    with another_client(system) as client:
        yield client
