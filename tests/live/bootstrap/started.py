"""A system that has just made its admin token, and the callers who request pairing tokens of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tallystick.cli.settings import DEFAULT_NAMESPACE, FeatureSettings
from tallystick.localplane.plane import ControlPlane
from tallystick.pairing.domain.admin_token import ADMIN_SECRET
from tests.harness.api import Api
from tests.harness.exchange import Exchange, HttpAnswer
from tests.harness.grants import grant
from tests.harness.installed import new_namespace
from tests.harness.objects import value_of
from tests.harness.own_system import OwnSystem
from tests.harness.pairing_site import claims_of
from tests.harness.processes import poll
from tests.harness.system import running
from tests.live.bootstrap.parts import SECRET_BODY, TRIGGER_BODY

ROLES = {"create": "tallystick-edit", "use": "tallystick-usecase-mission-control"}
PATH = "/v1/service_trust/pairing/mission-control"


def request_pairing(exchange: Exchange, bearer: str, content: bytes, *, path: str = PATH) -> HttpAnswer:
    """Request a pairing token."""
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    return exchange._send("POST", path, content, headers)


@dataclass(frozen=True)
class Started:
    """A system whose controller has found the trigger, and the admin token that it has made."""

    system: OwnSystem
    token: str = field(repr=False)

    @classmethod
    @contextmanager
    def on(cls, plane: ControlPlane, folder: Path, *, settings: FeatureSettings | None = None) -> Iterator["Started"]:
        """Place the trigger on a plane, and run a system there for the length of the block."""
        with Api.connect(plane.kubeconfig, plane.binaries.kubectl) as admin:
            admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DEFAULT_NAMESPACE}})
            admin.create(TRIGGER_BODY).must_succeed()
        with OwnSystem.of(running(plane, folder, settings=settings)) as system:
            secret = poll(lambda: system.admin.find(SECRET_BODY))
            assert secret is not None
            yield cls(system, json.loads(value_of(secret, ADMIN_SECRET))["token"])

    @property
    def admin(self) -> Api:
        return self.system.admin

    def ask(
        self, bearer: str, *, path: str = PATH, url: str = "", content: bytes | None = None, **body: str
    ) -> HttpAnswer:
        """Request a pairing token, at the system's exchange or at another replica."""
        client = self.system.exchange.at(url) if url else self.system.exchange
        return request_pairing(client, bearer, content or json.dumps(body).encode(), path=path)

    def caller(self, purpose: str, *rights: str) -> tuple[str, str]:
        """Make a ServiceAccount with these rights in a namespace of its own; return the namespace and its token."""
        namespace = new_namespace(self.admin, purpose)
        account = {"kind": "ServiceAccount", "metadata": {"name": "press", "namespace": namespace}}
        self.admin.create({"apiVersion": "v1", **account}).must_succeed()
        for right in rights:
            grant(self.admin, namespace, f"system:serviceaccount:{namespace}:press", ROLES[right])
        return namespace, self.admin.request_token(namespace, "press", self.system.exchange.issuer)

    def at_second(self, second: float) -> None:
        """Let it be so many seconds after the token was issued, until further notice."""
        issued = datetime.fromtimestamp(claims_of(self.token)["iat"], self.system.clock.now().tzinfo)
        self.system.clock.stand_at(issued + timedelta(seconds=second))
