"""A namespace of one's own with all that the story of a pairing needs: who applies, who redeems, who verifies."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tallystick.schema.meta import API_VERSION
from tests.harness.api import Api
from tests.harness.exchange import Exchange
from tests.harness.grants import grant
from tests.harness.objects import a_pairing_token, read_token, secret_of, value_of
from tests.harness.processes import poll

Json = dict[str, Any]

VERIFIER = "verifier"
USED_TEXT = "pairing token {} has already been used"
REVOKED_TEXT = "pairing token {} has been revoked"
INVALID_TEXT = "subject_token is not a valid pairing token"


@dataclass(frozen=True, slots=True)
class Site:
    """What a test does in its namespace. `bearer` is that of a ServiceAccount that may introspect there."""

    api: Api
    namespace: str
    exchange: Exchange
    bearer: str = field(repr=False)

    def pairing_token(self, name: str = "site-a", **spec: Any) -> Json:
        """Build the object; nothing is sent."""
        return a_pairing_token(self.namespace, name, **spec)

    def master_token(self, token_id: str) -> Json:
        """Name the object of a master token."""
        metadata = {"name": f"mtok-{token_id}", "namespace": self.namespace}
        return {"apiVersion": API_VERSION, "kind": "MasterToken", "metadata": metadata}

    def issue(self, name: str = "site-a", **spec: Any) -> str:
        """Create a PairingToken and return the token once it is on record."""
        self.api.create(self.pairing_token(name, **spec)).must_succeed()
        return self.issued(name, serial=spec.get("serial", 1))

    def issued(self, name: str = "site-a", *, serial: int = 1) -> str:
        """Wait until a serial is Active, and return its token."""
        poll(lambda: self.state_of(name) == ("Active", serial))
        return value_of(self.api.get(secret_of(self.pairing_token(name))), "token")

    def state_of(self, name: str = "site-a") -> tuple[str | None, int | None]:
        status = self.api.get(self.pairing_token(name)).get("status", {})
        return status.get("state"), status.get("serial")

    def paired(self, name: str = "site-a", **spec: Any) -> Json:
        """Issue and redeem; return the exchange's answer."""
        return self.exchange.redeem(self.issue(name, **spec)).must_succeed()

    def is_active(self, token: str, *, url: str = "") -> bool:
        """Introspect at the system's exchange, or at another replica."""
        client = self.exchange.at(url) if url else self.exchange
        answer = client.introspect(token, self.bearer).must_succeed()
        return bool(answer["active"])

    def last_active(self, token: str, replicas: Iterable[str], *, until: float) -> float:
        """Introspect at all replicas, again and again, until a time (monotonic).

        Returns when the last request was sent that was answered with "active"; 0 if none was.
        """
        seen = 0.0
        while time.monotonic() < until:
            for url in replicas:
                sent = time.monotonic()
                if self.is_active(token, url=url):
                    seen = sent
        return seen

    def events(self, reason: str) -> list[Json]:
        return [event for event in self.api.find_all("Event", self.namespace) if event["reason"] == reason]


def claims_of(token: str) -> Json:
    """Read a token's claims; nothing is verified."""
    return read_token(token).claims


@pytest.fixture
def site(admin: Api, make_namespace: Callable[[str], str], exchange: Exchange) -> Site:
    """A namespace for one test, with a verifier in it."""
    return make_site(admin, make_namespace("site"), exchange)


def make_site(admin: Api, namespace: str, exchange: Exchange) -> Site:
    """Prepare a namespace that exists: a verifier who may introspect there."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": VERIFIER, "namespace": namespace}}
    admin.create(account).must_succeed()
    grant(admin, namespace, f"system:serviceaccount:{namespace}:{VERIFIER}", "tallystick-introspect")
    bearer = admin.request_token(namespace, VERIFIER, exchange.issuer)
    return Site(admin, namespace, exchange, bearer)
