"""One API server in memory, and the leaders that keep the certificate of the exchange on it."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509

from tallystick.controller.serving_certificate import ServingCertificate
from tallystick.controller.serving_plan import CERTIFICATE, KEY, Names
from tallystick.crypto.certificates import read_certified_key
from tallystick.objects.context import Context
from tallystick.objects.server_clock import ServerClock
from tallystick.schema.builtin import SECRETS
from tests.fakes import FakeClock, FakeCluster, MemoryAudit, MemoryEvents

Json = dict[str, Any]
HOME, SERVICE = "ops", "tallystick-exchange"
URLS = ("https://trust.example.com/tallystick", "https://[2001:db8::7]:8443", "https://192.0.2.7")
CA_SECRET, TLS_SECRET = f"{SERVICE}-ca", f"{SERVICE}-tls"


@dataclass
class Leader:
    """One process that keeps the certificate, on a cluster that others may share."""

    cluster: FakeCluster
    clock: FakeClock
    urls: tuple[str, ...] = URLS
    looks: int = 0
    expiry: float = 0.0
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    events: MemoryEvents = field(default_factory=MemoryEvents)

    def __post_init__(self) -> None:
        self.names = Names.of(SERVICE, HOME, self.urls)
        self.server_clock = ServerClock(self.clock)
        self.care = ServingCertificate(
            self.cluster,
            Context(self.clock, self.server_clock, self.audit, self.events),
            self.names,
            on_new_ca=self._look,
            on_expiry=self._expire,
        )

    def _look(self) -> None:
        self.looks += 1

    def _expire(self, at: float) -> None:
        self.expiry = at


class CertificateWorld:
    """What the leaders share."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(clock=self.clock)
        self.leader = self.another()

    def another(self, urls: tuple[str, ...] = URLS) -> Leader:
        return Leader(self.cluster, self.clock, urls)

    def body(self, name: str) -> Json:
        found = self.cluster.peek(SECRETS, HOME, name)
        assert found is not None
        return found

    def data(self, name: str, key: str) -> bytes:
        return base64.b64decode(self.body(name)["data"][key])

    def ca(self) -> x509.Certificate:
        return read_certified_key(self.data(CA_SECRET, CERTIFICATE), self.data(CA_SECRET, KEY)).certificate

    def serving(self) -> x509.Certificate:
        return read_certified_key(self.data(TLS_SECRET, CERTIFICATE), self.data(TLS_SECRET, KEY)).certificate

    def advance_to(self, time: datetime) -> None:
        self.clock.advance((time - self.clock.now()).total_seconds())

    def writes(self) -> int:
        return sum(call.verb in ("create", "replace", "delete") for call in self.cluster.calls)

    def foreign(self, name: str, **labels: str) -> Json:
        metadata = {"namespace": HOME, "name": name, "labels": labels}
        return self.cluster.put(SECRETS, {"metadata": metadata, "type": "kubernetes.io/tls", "data": {CERTIFICATE: ""}})
