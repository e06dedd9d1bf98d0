"""A release of the chart in the cluster of the tests."""

import json
from dataclasses import dataclass
from typing import Any

from tests.chart.helms import CHART, Helm, HelmError
from tests.e2e.clusters import Cluster, KubectlError
from tests.e2e.image import Image

Json = dict[str, Any]
# Below the time that `Helm.run` gives a command, so that the reason comes from Helm.
WAIT = "170s"
FIRST_WITH_POLICY = 36


def fitting_requester(cluster: Cluster) -> str:
    """Return the `requester` for a cluster: before 1.36 there is no MutatingAdmissionPolicy, which Policy needs."""
    return "Policy" if cluster.minor_version() >= FIRST_WITH_POLICY else "ServiceAccount"


class ReleaseError(Exception):
    """Helm failed. The text has what the pods, the events and the logs say."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release by name and namespace; `requester` is a value of the chart."""

    cluster: Cluster
    helm: Helm
    name: str
    namespace: str
    image: Image
    requester: str

    @property
    def issuer(self) -> str:
        """The URL of the exchange in the cluster."""
        return f"https://{self.name}-exchange.{self.namespace}.svc"

    def install(self, values: Json | None = None) -> None:
        """Install the chart, and return when all pods are ready."""
        self._helm("install", "--create-namespace", values=values)

    def upgrade(self, values: Json | None = None) -> None:
        """Upgrade the release to these values, and return when all pods are ready."""
        self._helm("upgrade", values=values)

    def uninstall(self) -> None:
        """Uninstall the release; the CRDs, the tokens and the keyring stay."""
        self.helm.run("uninstall", self.name, "--namespace", self.namespace, "--wait", f"--timeout={WAIT}")

    def test(self) -> str:
        """Run `helm test`, and return what it prints."""
        try:
            return self.helm.run("test", self.name, "--namespace", self.namespace, f"--timeout={WAIT}")
        except HelmError as error:
            said = self._answer(("logs", f"{self.name}-check", f"--namespace={self.namespace}"))
            raise ReleaseError(f"helm test: {error}\n{said}") from error

    def pods(self, component: str) -> list[Json]:
        """Return the pods of a component that do not end."""
        labels = f"--selector=app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        return [pod for pod in self.listed("pods", labels) if "deletionTimestamp" not in pod["metadata"]]

    def leader(self) -> str:
        """Return the name of the pod that leads; '' if none does."""
        (lease,) = self.listed("leases")
        holder = str(lease["spec"].get("holderIdentity") or "")
        names = [pod["metadata"]["name"] for pod in self.pods("controller")]
        return next((name for name in names if holder.startswith(name)), holder)

    def listed(self, resource: str, *arguments: str) -> list[Json]:
        """Return the objects of a resource in the release's namespace."""
        text = self.cluster.kubectl("get", resource, "--namespace", self.namespace, "--output=json", *arguments)
        items: list[Json] = json.loads(text)["items"]
        return items

    def secret(self, suffix: str) -> dict[str, str]:
        """Return the data of a Secret of the release, encoded as it is."""
        where = (f"--namespace={self.namespace}", "--output=json")
        data: dict[str, str] = json.loads(self.cluster.kubectl("get", "secret", f"{self.name}-{suffix}", *where))[
            "data"
        ]
        return data

    def has_secret(self, suffix: str) -> bool:
        """Return whether the release has this Secret."""
        return f"{self.name}-{suffix}" in {secret["metadata"]["name"] for secret in self.listed("secrets")}

    def instance_maps(self) -> list[str]:
        """Return the names of the ConfigMaps in which replicas of the exchange store heartbeats."""
        names = [item["metadata"]["name"] for item in self.listed("configmaps")]
        return [name for name in names if name.startswith("tallystick-instances-")]

    def wait_until_available(self) -> None:
        """Return when the last rollouts have finished."""
        for component in ("controller", "exchange"):
            where = (f"deployment/{self.name}-{component}", f"--namespace={self.namespace}")
            self.cluster.kubectl("rollout", "status", *where, f"--timeout={WAIT}")

    def _helm(self, command: str, *flags: str, values: Json | None) -> None:
        image: Json = {"repository": self.image.repository, "tag": self.image.tag}
        given = {"image": image, "requester": self.requester, **(values or {})}
        where = ("--namespace", self.namespace, "--wait", f"--timeout={WAIT}", "--values", "-", *flags)
        try:
            self.helm.run(command, self.name, str(CHART), *where, stdin=json.dumps(given))
        except HelmError as error:
            raise ReleaseError(f"helm {command}: {error}\n{self._state()}") from error

    def _state(self) -> str:
        where = f"--namespace={self.namespace}"
        selected = f"--selector=app.kubernetes.io/instance={self.name}"
        questions = (
            ("get", "pods,services,endpointslices", "--output=wide", where),
            ("get", "events", "--sort-by=.lastTimestamp", where),
            ("logs", selected, "--prefix", "--all-containers", "--tail=30", where),
        )
        return "\n".join(self._answer(question) for question in questions)

    def _answer(self, question: tuple[str, ...]) -> str:
        try:
            return self.cluster.kubectl(*question)
        except KubectlError as error:
            return str(error)
