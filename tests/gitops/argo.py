"""Argo CD as plain processes: application-controller, repo-server, API server and a cache, on a Git repository."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3

from tallystick.localplane.children import Child
from tallystick.localplane.probe import free_ports
from tests.gitops.programs import ArgoPrograms, tools_of_argo
from tests.gitops.world import EDGE, World
from tests.harness.processes import poll

Json = dict[str, Any]

NAMESPACE, ACCOUNT = "argocd", "argocd-application-controller"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
ROOT, CRDS, OPERATOR, TOKENS = "tallystick", "tallystick-crds", "tallystick-operator", "tallystick-tokens"
APPLICATIONS = "applications.argoproj.io"
CONFIG_MAPS = ("argocd-cm", "argocd-rbac-cm", "argocd-ssh-known-hosts-cm", "argocd-tls-certs-cm", "argocd-gpg-keys-cm")
PROJECT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AppProject",
    "metadata": {"name": "default", "namespace": NAMESPACE},
    "spec": {
        "sourceRepos": ["*"],
        "destinations": [{"namespace": "*", "server": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    },
}
OF_US = {"app.kubernetes.io/part-of": "argocd"}


@dataclass(frozen=True, slots=True)
class Argo:
    """Argo CD at work on a Git repository.

    Attributes:
        world: The cluster.
        children: Its processes.
        repository: The Git repository.
        url: Its API server, where everyone may do everything.
    """

    world: World
    children: tuple[Child, ...]
    repository: Path
    url: str

    def commit(self) -> None:
        """Commit the folder as it is, and let Argo CD look at it."""
        _git(self.repository, "add", "--all")
        _git(self.repository, "commit", "--quiet", "--allow-empty", "--message", "change")
        self.refresh()

    def refresh(self) -> None:
        """Compare all Applications with Git and the cluster now, without the cache."""
        names = self.applications()
        for name in names:
            self._annotate(name, "argocd.argoproj.io/refresh=hard")

        def compared() -> bool:
            found = self.applications()
            refresh = "argocd.argoproj.io/refresh"
            return all(refresh not in found[name]["metadata"].get("annotations", {}) for name in names)

        poll(compared, seconds=300.0)

    def applications(self) -> dict[str, Json]:
        """Return all Applications by name."""
        text = self.world.kubectl("get", APPLICATIONS, "--namespace", NAMESPACE, "--output", "json")
        return {body["metadata"]["name"]: body for body in json.loads(text)["items"]}

    def state(self, name: str) -> tuple[str, str]:
        """Return the sync status and the health of an Application; '' for what is not known."""
        status = self.applications().get(name, {}).get("status", {})
        return status.get("sync", {}).get("status", ""), status.get("health", {}).get("status", "")

    def answers(self, name: str) -> str:
        """Return what the cluster answered in the last sync of an Application, a line for each object."""
        operation = self.applications()[name]["status"].get("operationState", {})
        return "\n".join(one.get("message", "") for one in operation.get("syncResult", {}).get("resources", ()))

    def wait_until(self, name: str, sync: str, health: str, *, seconds: float = 600.0) -> None:
        """Wait for a sync status and a health of an Application."""

        def reached() -> bool:
            for child in self.children:
                assert child.running, child.exit_text()
            return self.state(name) == (sync, health)

        poll(reached, seconds=seconds)

    def out_of_sync(self) -> list[str]:
        """Name each object whose comparison differs."""
        found = self.applications()
        resources = ((name, one) for name, body in found.items() for one in body["status"].get("resources", ()))
        return [f"{name}: {one['kind']} {one['name']}" for name, one in resources if one["status"] != "Synced"]

    def sync(self, *names: str) -> None:
        """Sync Applications as a user does who presses the button, and wait until all have succeeded."""
        started = {name: _finished(body) for name, body in self.applications().items()}
        for name in names:
            options = self.applications()[name]["spec"]["syncPolicy"].get("syncOptions", [])
            operation = {"initiatedBy": {"username": "test"}, "sync": {"prune": True, "syncOptions": options}}
            where = (APPLICATIONS, name, "--namespace", NAMESPACE, "--type=merge")
            self.world.kubectl("patch", *where, "--patch", json.dumps({"operation": operation}))

        def synced() -> bool:
            found = self.applications()
            return all("operation" not in found[name] and _finished(found[name]) != started[name] for name in names)

        poll(synced, seconds=300.0)
        phases = {name: self.applications()[name]["status"]["operationState"]["phase"] for name in names}
        assert set(phases.values()) == {"Succeeded"}, phases

    def act(self, kind: str, name: str, action: str) -> None:
        """Run an action as the menu of an object does, once the Application of the tokens shows that object."""
        tree = f"/api/v1/applications/{TOKENS}/resource-tree"

        def shown() -> bool:
            answer = self._ask("GET", tree)
            assert answer.status == HTTPStatus.OK, answer.data.decode()
            return any((one["kind"], one["name"]) == (kind, name) for one in answer.json().get("nodes") or ())

        poll(shown)
        of_object = {"group": "tallystick.dev", "version": "v1alpha1", "kind": kind, "resourceName": name}
        asked = {"namespace": EDGE, **of_object, "action": action}
        answer = self._ask("POST", f"/api/v1/applications/{TOKENS}/resource/actions/v2", asked)
        assert answer.status == HTTPStatus.OK, answer.data.decode()

    def wait_until_served(self) -> None:
        """Wait until the API server of Argo CD answers."""
        poll(lambda: self._ask("GET", "/healthz").status == HTTPStatus.OK, seconds=300.0)

    def _ask(self, method: str, path: str, body: Json | None = None) -> urllib3.BaseHTTPResponse:
        for child in self.children:
            assert child.running, child.exit_text()
        retries = urllib3.Retry(connect=20, backoff_factor=0.2)
        return urllib3.request(method, self.url + path, json=body, retries=retries, timeout=120.0)

    def compare_by_server(self) -> None:
        """Let the API server compute the differences from now on (server-side diff)."""
        for name in self.applications():
            self._annotate(name, "argocd.argoproj.io/compare-options=ServerSideDiff=true")
        self.refresh()

    def _annotate(self, name: str, annotation: str) -> None:
        where = (APPLICATIONS, name, "--namespace", NAMESPACE, "--overwrite")
        self.world.kubectl("annotate", *where, annotation)


def _finished(body: Json) -> tuple[str, str]:
    """When an Application was last asked to sync by a user, and when that ended. Times are whole seconds."""
    state = body.get("status", {}).get("operationState", {})
    history = body.get("status", {}).get("history", [])
    return state.get("finishedAt", ""), str(history[-1]["id"]) if history else ""


@contextmanager
def running_argo(world: World, programs: ArgoPrograms) -> Iterator[Argo]:
    """Install Argo CD and run it."""
    world.apply_crds(programs.crds)
    kubeconfig = world.account(NAMESPACE, ACCOUNT)
    _install(world)
    tools = tools_of_argo(world.folder / "tools", programs, world.api.kubectl_binary)
    repository = world.folder / "repository"
    world.copy_of_the_repository(f"file://{repository}")
    _git(repository, "init", "--quiet", "--initial-branch", "main")
    cache, repo, repo_metrics, controller_metrics, server, server_metrics = free_ports(6)
    environment = _environment(world, kubeconfig, tools)
    with ExitStack() as stack:

        def run(name: str, *command: str | Path, **more: str) -> Child:
            log = world.folder / f"{name}.log"
            child = Child.spawn(name, command, log=log, environment={**environment, **more})
            stack.callback(child.stop, grace=10.0)
            return child

        redis = f"127.0.0.1:{cache}"
        children = (
            run("redis", programs.redis, redis),
            run(
                "argocd-repo-server",
                programs.argocd,
                *("--address", "127.0.0.1", "--port", str(repo), "--redis", redis, "--disable-tls"),
                *("--metrics-address", "127.0.0.1", "--metrics-port", str(repo_metrics), "--client-ca-path="),
                ARGOCD_BINARY_NAME="argocd-repo-server",
            ),
            run(
                "argocd-application-controller",
                programs.argocd,
                *("--namespace", NAMESPACE, "--kubeconfig", str(kubeconfig), "--redis", redis),
                *("--repo-server", f"127.0.0.1:{repo}", "--repo-server-plaintext"),
                *("--metrics-port", str(controller_metrics), "--app-resync", "20", "--app-resync-jitter", "0"),
                ARGOCD_BINARY_NAME="argocd-application-controller",
            ),
            run(
                "argocd-server",
                programs.argocd,
                *("--address", "127.0.0.1", "--port", str(server), "--insecure", "--disable-auth", "--redis", redis),
                *("--namespace", NAMESPACE, "--kubeconfig", str(kubeconfig), "--metrics-address", "127.0.0.1"),
                *(
                    "--repo-server",
                    f"127.0.0.1:{repo}",
                    "--repo-server-plaintext",
                    "--metrics-port",
                    str(server_metrics),
                ),
                ARGOCD_BINARY_NAME="argocd-server",
            ),
        )
        yield Argo(world, children, repository, f"http://127.0.0.1:{server}")


def _install(world: World) -> None:
    """Create what the manifests of Argo CD have beside the Deployments, and our health and actions."""
    secret = {"name": "argocd-secret", "namespace": NAMESPACE, "labels": OF_US}
    bodies = [{"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"server.secretkey": "unused"}}]
    for name in CONFIG_MAPS:
        metadata = {"name": name, "namespace": NAMESPACE, "labels": OF_US}
        bodies.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*bodies, PROJECT]})
    world.kubectl("create", "--filename", "-", stdin=text)


def _environment(world: World, kubeconfig: Path, tools: Path) -> dict[str, str]:
    folders = {"GNUPGHOME": "gpg", "SSH_DATA_PATH": "ssh", "TLS_DATA_PATH": "tls", "PLUGINSOCKFILEPATH": "plugin"}
    for name in folders.values():
        (world.folder / "argocd" / name).mkdir(parents=True, mode=0o700)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ARGOCD_")},
        **{f"ARGOCD_{name}": str(world.folder / "argocd" / folder) for name, folder in folders.items()},
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "KUBECONFIG": str(kubeconfig),
        # https://kubernetes.default.svc is then the cluster of KUBECONFIG.
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_APPLICATION_CONTROLLER_PERSIST_RESOURCE_HEALTH": "true",
        "TMPDIR": str(world.folder),
    }


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
