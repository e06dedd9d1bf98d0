"""A control plane for a GitOps tool: its account, a copy of the repository, and the part of a cluster that is not here.

The control plane has no nodes. `Node` runs one pod of each Deployment, and this module writes what the kubelet, the
controller of Deployments and a cloud would report.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tallystick.localplane.plane import ControlPlane
from tests.chart.helms import WHEELS, helm_of
from tests.chart.live.releases import Release, Running, connected, tokens
from tests.gitops.commands import commands, paths_in
from tests.gitops.customizations import EXAMPLE
from tests.harness.api import Api
from tests.harness.processes import poll
from tests.unit.test_house import REPOSITORY

Json = dict[str, Any]

HOME, EDGE = "tallystick-system", "edge"
PLACEHOLDER = "https://git.example.com/platform/tallystick.git"
PARTS = ("crds", "helm", str(EXAMPLE.relative_to(REPOSITORY)))
TOKENS, KUSTOMIZATION = f"{PARTS[-1]}/tokens", "kustomization.yaml"
ALL_TOKENS = ("pairing.yaml", "connection.yaml", "keys.yaml")
DEPLOYMENTS = ("tallystick-controller", "tallystick-exchange")


@dataclass(frozen=True, slots=True)
class World:
    """A cluster for one tool.

    Attributes:
        release: Its control plane, its administrator, Helm, and the pods of the release.
        folder: A folder of its own.
    """

    release: Release
    folder: Path

    @property
    def api(self) -> Api:
        """The API server, as its administrator."""
        return self.release.api

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator."""
        return self.api.kubectl(*arguments, stdin=stdin)

    def run_commands(self, title: str) -> None:
        """Run the commands of the README for a tool in the copy of the repository."""
        for kubectl, *words in commands(REPOSITORY / "README.md", title):
            assert kubectl == "kubectl"
            paths = {path: str(self.folder / "repository" / path) for _, path in paths_in(words)}
            self.kubectl(*(paths.get(word, word) for word in words))

    def read(self, kind: str, name: str, namespace: str) -> Json:
        """Read an object of any kind; {} if there is none."""
        text = self.kubectl("get", kind, name, "--namespace", namespace, "--ignore-not-found", "--output", "json")
        found: Json = json.loads(text) if text else {}
        return found

    def account(self, namespace: str, name: str) -> Path:
        """Create a ServiceAccount that may do everything, and return a kubeconfig of it."""
        self.kubectl("create", "namespace", namespace)
        self.kubectl("create", "serviceaccount", name, "--namespace", namespace)
        binding = ("--clusterrole=cluster-admin", f"--serviceaccount={namespace}:{name}")
        self.kubectl("create", "clusterrolebinding", f"{namespace}-{name}", *binding)
        return self.api.write_kubeconfig(self.folder / f"{name}.kubeconfig", namespace, name)

    def apply_crds(self, *folders: Path) -> None:
        """Apply the CRDs of a tool and wait until the API server serves them."""
        files = [
            path for folder in folders for path in sorted(folder.glob("*_*.yaml")) or sorted(folder.glob("*-crd.yaml"))
        ]
        names = [flag for path in files for flag in ("--filename", str(path))]
        self.kubectl("apply", "--server-side", *names)

        def served() -> bool:
            found = json.loads(self.kubectl("get", *names, "--output", "json"))["items"]
            # kubectl wait fails on a CRD that has no condition yet.
            conditions = [one["status"].get("conditions") or [] for one in found]
            return all(any(c["type"] == "Established" and c["status"] == "True" for c in of) for of in conditions)

        poll(served)

    def copy_of_the_repository(self, url: str) -> Path:
        """Copy what the tools read from Git, and put the URL in the place of the placeholder."""
        folder = self.folder / "repository"
        for part in PARTS:
            shutil.copytree(REPOSITORY / part, folder / part)
        for path in (folder / PARTS[-1]).rglob("*.yaml"):
            path.write_text(path.read_text().replace(PLACEHOLDER, url))
        return folder

    def tokens(self) -> dict[str, str]:
        """Return a digest of all tokens and keys but those of site-a, which expires after five minutes."""
        return {name: digest for name, digest in tokens(self.api, (HOME, EDGE)).items() if "site-a" not in name}

    def versions(self) -> dict[str, str]:
        """Return the resourceVersion of each object that Git has, or that follows from one."""
        kinds = "all,secrets,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,tally"
        kinds_of_cluster = (
            "customresourcedefinitions,clusterroles,clusterrolebindings,validatingadmissionpolicies,"
            "validatingadmissionpolicybindings,mutatingadmissionpolicies,mutatingadmissionpolicybindings"
        )
        found = {}
        for where in ((kinds, "--namespace", HOME), (kinds, "--namespace", EDGE), (kinds_of_cluster,)):
            for body in json.loads(self.kubectl("get", *where, "--output", "json"))["items"]:
                meta = body["metadata"]
                found[f"{body['kind']} {meta.get('namespace', '')}/{meta['name']}"] = meta["resourceVersion"]
        return found

    def settled(self) -> dict[str, str]:
        """Return the versions of all objects but those of site-a."""
        return {name: version for name, version in self.versions().items() if "site-a" not in name}

    @contextmanager
    def pods(self) -> Iterator[Running]:
        """Run the pods of the operator as soon as the tool has applied it, for the length of the block."""
        poll(lambda: self.read("deployment", DEPLOYMENTS[1], HOME), seconds=600.0)
        with self.release.running() as running:
            yield running

    @contextmanager
    def drift(self) -> Iterator[None]:
        """Change a token that is in Git, as another manager, and assert after the block that it is changed back."""
        before = self.read("pairingtoken", "cams", EDGE)
        theirs = {"metadata": {"annotations": {"somebody": "else"}}, "spec": {"maxDevices": 60}}
        where = ("pairingtoken", "cams", "--namespace", EDGE, "--type=merge", "--field-manager=somebody")
        self.kubectl("patch", *where, "--patch", json.dumps(theirs))
        yield
        poll(lambda: self.read("pairingtoken", "cams", EDGE)["spec"] == before["spec"], seconds=300.0)
        after = self.read("pairingtoken", "cams", EDGE)
        # What the tool does not own stays, and the token is the same.
        assert after["metadata"]["annotations"]["somebody"] == "else"
        assert after["status"]["tokenID"] == before["status"]["tokenID"]

    def must_be_pruned(self) -> None:
        """Assert that the tool deletes all tokens and keys."""
        poll(lambda: self.kubectl("get", "tally", "--namespace", EDGE, "--output", "name") == "", seconds=300.0)

    def report_ready(self) -> None:
        """Report all replicas as available, disruptions as permitted, and an address of the load balancer."""
        for name in DEPLOYMENTS:
            body = self.read("deployment", name, HOME)
            replicas = body["spec"]["replicas"]
            counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
            conditions = [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ]
            status = {**dict.fromkeys(counts, replicas), "conditions": conditions}
            self._report("deployment", name, status | {"observedGeneration": body["metadata"]["generation"]})
            self._report("poddisruptionbudget", name, _budget(replicas))
        self._report("service", DEPLOYMENTS[1], {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})

    def _report(self, kind: str, name: str, status: Json) -> None:
        patch = ("--type=merge", "--subresource=status", "--patch", json.dumps({"status": status}))
        self.kubectl("patch", kind, name, "--namespace", HOME, *patch)


def _budget(replicas: int) -> Json:
    """Return the status that the controller of PodDisruptionBudgets writes if all pods are healthy."""
    time = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    allowed = {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": ""}
    return {
        "observedGeneration": 1,
        "currentHealthy": replicas,
        "desiredHealthy": replicas - 1,
        "expectedPods": replicas,
        "disruptionsAllowed": 1,
        "conditions": [allowed | {"lastTransitionTime": time}],
    }


def add_a_bad_token(repository: Path) -> None:
    """Add the PairingToken site-b of an unknown use case to a copy of the repository."""
    site, *_ = (repository / TOKENS / "pairing.yaml").read_text().split("---")
    bad = site.replace("useCase: mission-control", "useCase: no-such-use-case").replace("site-a", "site-b")
    (repository / TOKENS / "bad.yaml").write_text(bad)
    _list_files(repository)


def remove_tokens(repository: Path, *names: str) -> None:
    """Remove files of tokens and keys from a copy of the repository."""
    for name in names:
        (repository / TOKENS / name).unlink()
    _list_files(repository)


def _list_files(repository: Path) -> None:
    listed = sorted(path.name for path in (repository / TOKENS).glob("*.yaml") if path.name != KUSTOMIZATION)
    (repository / TOKENS / KUSTOMIZATION).write_text(yaml.safe_dump({"resources": listed}))


@contextmanager
def fresh_world(folder: Path) -> Iterator[World]:
    """Start a control plane that nothing is installed on."""
    with ControlPlane.start(report=lambda _: None) as plane, connected(plane) as api:
        helm = helm_of(WHEELS[0], folder / "helm", {"KUBECONFIG": str(plane.kubeconfig)})
        pods = folder / "pods"
        pods.mkdir()
        yield World(Release(plane, api, helm, pods), folder)
