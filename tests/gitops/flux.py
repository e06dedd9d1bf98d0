"""kustomize-controller as a plain process. A file server of ours has the artifact of the GitRepository."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tallystick.localplane.children import Child
from tallystick.localplane.probe import free_ports
from tests.gitops.programs import FluxPrograms
from tests.gitops.world import World
from tests.harness.audit_trail import Mark, Trail
from tests.harness.processes import poll

Json = dict[str, Any]

NAMESPACE, ACCOUNT = "flux-system", "kustomize-controller"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
SOURCE, KUSTOMIZATIONS = "tallystick", "kustomizations.kustomize.toolkit.fluxcd.io"
ENDS = ("Reconciliation finished", "Reconciliation failed")
CRDS, OPERATOR, TOKENS = "tallystick-crds", "tallystick-operator", "tallystick-tokens"


@dataclass(slots=True)
class Flux:
    """kustomize-controller at work on a folder.

    Attributes:
        world: The cluster.
        child: The process.
        repository: What it applies, once it is published.
        served: The folder of the file server.
        url: The file server.
    """

    world: World
    child: Child
    repository: Path
    served: Path
    url: str
    _count: int = field(default=0)

    def publish(self) -> None:
        """Make the folder the newest revision, as source-controller would."""
        content = _archive(self.repository)
        digest = hashlib.sha256(content).hexdigest()
        (self.served / f"{digest}.tar.gz").write_bytes(content)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": now}
        artifact = {
            "url": f"{self.url}/{digest}.tar.gz",
            "path": f"{digest}.tar.gz",
            "revision": f"main@sha256:{digest}",
            "digest": f"sha256:{digest}",
            "lastUpdateTime": now,
            "size": len(content),
        }
        patch = json.dumps({"status": {"artifact": artifact, "conditions": [ready]}})
        where = ("gitrepository", SOURCE, "--namespace", NAMESPACE)
        self.world.kubectl("patch", *where, "--subresource=status", "--type=merge", "--patch", patch)

    def retry_soon(self, *names: str) -> None:
        """Let Flux try again 5 seconds after a failure. In the example it is a minute."""
        for name in names:
            where = (KUSTOMIZATIONS, name, "--namespace", NAMESPACE, "--type=merge")
            self.world.kubectl("patch", *where, "--patch", json.dumps({"spec": {"retryInterval": "5s"}}))

    def condition(self, name: str) -> Json:
        """Return the condition Ready of a Kustomization; {} if it has none."""
        body = self.world.read(KUSTOMIZATIONS, name, NAMESPACE)
        found = body.get("status", {}).get("conditions", [])
        return next((one for one in found if one["type"] == "Ready"), {})

    def wait_until(self, name: str, status: str, *, seconds: float = 300.0) -> str:
        """Wait for a status of condition Ready, and return its message."""

        def reached() -> Json | None:
            assert self.child.running, self.child.exit_text()
            said = self.condition(name)
            return said if said.get("status") == status else None

        said = poll(reached, seconds=seconds)
        assert said
        return str(said["message"])

    def reconcile(self, *names: str) -> None:
        """Request a reconciliation of each Kustomization, one after the other, and wait until it has ended.

        `lastHandledReconcileAt` is written at the start, so the end is read from the log.
        """
        for name in names:
            self._count += 1
            where = (KUSTOMIZATIONS, name, "--namespace", NAMESPACE, "--overwrite")
            before = self.ended(name)
            self.world.kubectl("annotate", *where, f"reconcile.fluxcd.io/requestedAt=request-{self._count}")
            poll(lambda name=name, before=before: self.ended(name) > before, seconds=300.0)

    def ended(self, name: str) -> int:
        """Return how many reconciliations of a Kustomization have ended."""
        lines = [json.loads(line) for line in self.child.log.read_text().splitlines() if line.startswith("{")]
        return sum(one.get("name") == name and one["msg"].startswith(ENDS) for one in lines)

    def writes(self, since: Mark, *namespaces: str) -> list[str]:
        """List what Flux has written in these namespaces. Dry runs do not count."""
        trail = Trail(self.world.release.plane.audit_log)
        return [line for namespace in namespaces for line in trail.writes(namespace, since=since, user=USER)]

    def mark(self) -> Mark:
        """Return this moment, for `writes`."""
        return Trail(self.world.release.plane.audit_log).mark()


@contextmanager
def running_flux(world: World, programs: FluxPrograms) -> Iterator[Flux]:
    """Run kustomize-controller and the file server of its source."""
    world.apply_crds(*programs.crds)
    kubeconfig = world.account(NAMESPACE, ACCOUNT)
    served = world.folder / "served"
    served.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    metrics, health = free_ports(2)
    command = [
        programs.kustomize_controller,
        f"--metrics-addr=127.0.0.1:{metrics}",
        f"--health-addr=127.0.0.1:{health}",
        "--requeue-dependency=2s",
    ]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "RUNTIME_NAMESPACE": NAMESPACE}
    child = Child.spawn(
        "kustomize-controller", command, log=world.folder / "kustomize-controller.log", environment=environment
    )
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        # Without source-controller nothing reads this URL, but the API server checks its form.
        yield Flux(world, child, world.copy_of_the_repository(url), served, url)
    finally:
        child.stop(grace=10.0)
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write no line for a request."""


def _archive(folder: Path) -> bytes:
    """Pack a folder; equal content gives equal bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            entry = archive.gettarinfo(path, str(path.relative_to(folder)))
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
            with path.open("rb") if path.is_file() else io.BytesIO() as content:
                archive.addfile(entry, content if path.is_file() else None)
    return packed.getvalue()
