"""Pods of the operator's image that act as the other side, from inside the cluster."""

import base64
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.clusters import Cluster
from tests.e2e.releases import Release
from tests.harness.processes import poll

Json = dict[str, Any]
PODS = Path(__file__).parent / "pods"
PYTHON = "/opt/tallystick/bin/python"
SECONDS = 300
NO_ALIASES: Mapping[str, str] = {}


def pairing_tokens(cluster: Cluster, namespace: str, count: int, **spec: str) -> dict[str, Json]:
    """Create PairingTokens with random names, and return the data of their Secrets by name, decoded."""
    prefix = f"e2e-{uuid.uuid4().hex[:8]}"
    tokens = [
        {
            "apiVersion": "tallystick.dev/v1alpha1",
            "kind": "PairingToken",
            "metadata": {"name": f"{prefix}-{number}", "namespace": namespace, "labels": {"e2e": prefix}},
            "spec": {"purpose": "Service", "useCase": "mission-control", "ttl": "1h", **spec},
        }
        for number in range(count)
    ]
    cluster.kubectl("create", "--filename=-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": tokens}))
    where = (f"--namespace={namespace}", f"--selector=e2e={prefix}")
    cluster.kubectl("wait", "--for=condition=Ready", "pairingtokens", *where, f"--timeout={SECONDS}s", timeout=SECONDS)
    listed = json.loads(cluster.kubectl("get", "secrets", f"--namespace={namespace}", "--output=json"))["items"]
    wanted = {f"{token['metadata']['name']}-pairing-token": token["metadata"]["name"] for token in tokens}
    return {
        wanted[secret["metadata"]["name"]]: {
            key: base64.b64decode(value).decode() for key, value in secret["data"].items()
        }
        for secret in listed
        if secret["metadata"]["name"] in wanted
    }


@dataclass(frozen=True, slots=True)
class Inside:
    """One Pod that runs a command to its end."""

    cluster: Cluster
    namespace: str
    name: str

    @classmethod
    def start(
        cls,
        release: Release,
        namespace: str,
        command: Sequence[str],
        files: dict[str, str],
        aliases: Mapping[str, str] = NO_ALIASES,
    ) -> "Inside":
        """Start a Pod with the image of the release and the most restricted settings.

        Args:
            release: The release.
            namespace: The namespace of the Pod.
            command: Its command.
            files: Its files in /input.
            aliases: The address by host name, which counts more than DNS.
        """
        name = f"inside-{uuid.uuid4().hex[:8]}"
        metadata = {"name": name, "namespace": namespace}
        container = {
            "name": "inside",
            "image": f"{release.image.repository}:{release.image.tag}",
            "command": list(command),
            "volumeMounts": [{"name": "input", "mountPath": "/input"}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "hostAliases": [{"ip": address, "hostnames": [host]} for host, address in aliases.items()],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "input", "secret": {"secretName": name}}, {"name": "tmp", "emptyDir": {}}],
            "containers": [container],
        }
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": files}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        both = {"apiVersion": "v1", "kind": "List", "items": [secret, pod]}
        release.cluster.kubectl("create", "--filename=-", given=json.dumps(both))
        return cls(release.cluster, namespace, name)

    @property
    def phase(self) -> str:
        """The phase of the Pod."""
        where = (f"--namespace={self.namespace}", "--output=jsonpath={.status.phase}")
        return self.cluster.kubectl("get", "pod", self.name, *where)

    @property
    def node(self) -> str:
        """The name of its node; '' before it has one."""
        where = (f"--namespace={self.namespace}", "--output=jsonpath={.spec.nodeName}")
        return self.cluster.kubectl("get", "pod", self.name, *where)

    def logs(self) -> str:
        """Return what it has printed."""
        return self.cluster.kubectl("logs", self.name, f"--namespace={self.namespace}")

    def delete(self) -> None:
        """Delete it, and do not wait until it has ended."""
        self.cluster.kubectl("delete", "pod", self.name, f"--namespace={self.namespace}", "--wait=false")

    def output(self, seconds: float = SECONDS) -> str:
        """Wait until it has succeeded, and return what it printed."""
        poll(lambda: self.phase in {"Succeeded", "Failed"}, seconds=seconds)
        assert self.phase == "Succeeded", self.logs()
        return self.logs()


def sending_heartbeats(release: Release, namespace: str) -> Inside:
    """Create a ConnectionConfiguration, and start a Pod that sends heartbeats with its token."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    configuration = {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "ConnectionConfiguration",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"displayName": name, "deploymentType": "Kubernetes"},
    }
    where = f"--namespace={namespace}"
    release.cluster.kubectl("create", "--filename=-", given=json.dumps(configuration))
    release.cluster.kubectl("wait", "--for=condition=Ready", f"connectionconfiguration/{name}", where, "--timeout=120s")
    stored = json.loads(release.cluster.kubectl("get", "secret", f"{name}-connection-token", where, "--output=json"))
    data = {key: base64.b64decode(value).decode() for key, value in stored["data"].items()}
    (token,) = (value for key, value in data.items() if key == "token")
    files = {
        "heartbeats.py": (PODS / "heartbeats.py").read_text(encoding="utf-8"),
        "url": data["heartbeat-url"],
        "token": token,
        "ca.crt": data["ca.crt"],
    }
    command = (PYTHON, "/input/heartbeats.py", "/input/url", "/input/token", "/input/ca.crt")
    inside = Inside.start(release, namespace, command, files)
    poll(lambda: inside.phase == "Running", seconds=120)
    return inside


def redeeming(
    release: Release,
    namespace: str,
    tokens: dict[str, Json],
    pause: float = 0.0,
    aliases: Mapping[str, str] = NO_ALIASES,
) -> Inside:
    """Start a Pod that redeems all these tokens; see pods/redeem.py."""
    files = {
        "redeem.py": (PODS / "redeem.py").read_text(encoding="utf-8"),
        "tokens.json": json.dumps([data["token"] for data in tokens.values()]),
        "ca.crt": next(iter(tokens.values()))["ca.crt"],
    }
    command = (PYTHON, "/input/redeem.py", "/input/tokens.json", release.issuer, "/input/ca.crt", str(pause))
    return Inside.start(release, namespace, command, files, aliases)


def reached(release: Release, namespace: str, places: Collection[str]) -> set[str]:
    """Return those of the places (`HOST:PORT`) that a Pod in this namespace can connect to."""
    files = {"connect.py": (PODS / "connect.py").read_text(encoding="utf-8"), "places.json": json.dumps(sorted(places))}
    inside = Inside.start(release, namespace, (PYTHON, "/input/connect.py", "/input/places.json"), files)
    return set(json.loads(inside.output()))


def reached_from(release: Release, component: str, places: Collection[str]) -> set[str]:
    """Return those of the places (`HOST:PORT`) that a pod of the release can connect to."""
    name = release.pods(component)[0]["metadata"]["name"]
    program = (PODS / "connect.py").read_text(encoding="utf-8")
    where = (name, f"--namespace={release.namespace}", "--stdin", "--")
    command = (PYTHON, "-c", program, "/dev/stdin")
    return set(json.loads(release.cluster.kubectl("exec", *where, *command, given=json.dumps(sorted(places)))))
