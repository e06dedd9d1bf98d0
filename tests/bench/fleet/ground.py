"""The ground of W3: a control plane, the real processes on it, and the objects of one fleet after the other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tallystick.install.installation import EXCHANGE
from tests.bench.fleet.processes import Load, Server
from tests.bench.stage import ControllerProcess, Stage
from tests.harness.processes import poll

Json = dict[str, Any]

TOKEN, ROTATION = "fleet", "rotation"
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Ground:
    """The namespace of one fleet.

    Attributes:
        stage: The control plane.
        controller: The leader.
        servers: The replicas of the exchange.
        namespace: The namespace.
        devices: How many devices the fleet has.
        period: From one check-in of a device to its next one, in seconds.
    """

    stage: Stage
    controller: ControllerProcess
    servers: Sequence[Server]
    namespace: str
    devices: int
    period: int

    @property
    def urls(self) -> list[str]:
        """The addresses of the replicas."""
        return [server.url for server in self.servers]

    def apply_project(self) -> None:
        """Apply the PairingToken, and wait until its first value is issued."""
        spec = {"purpose": "DeviceProject", "projectKey": "bench", "maxDevices": self.devices}
        self._apply("PairingToken", TOKEN, {**spec, "checkInPeriod": f"{self.period}s"})
        poll(lambda: self._status("pairingtoken", TOKEN).get("generation") == 1)

    def create_devices(self, load: Load) -> None:
        """Create the Devices; each checks in from then on."""
        accounts = {"kubeconfig": self.stage.kubeconfig, "exchange": self.stage.kubeconfig_of(EXCHANGE)}
        where = {"namespace": self.namespace, "token": TOKEN}
        load.do("create", **accounts, **where, count=self.devices, period=self.period)

    def wait_until_counted(self) -> None:
        """Let the controller count the Devices, which no enrollment has counted, and wait for their check-ins."""
        self._kubectl("annotate", "pairingtoken", TOKEN, "bench=count")
        poll(lambda: self._status("pairingtoken", TOKEN).get("devices") == self.devices, seconds=PATIENCE_SECONDS)
        poll(lambda: self._checked_in() == self.devices, seconds=PATIENCE_SECONDS)

    def rotate(self, strategy: Json) -> None:
        """Apply the TokenRotation."""
        self._apply(
            "TokenRotation", ROTATION, {"targetRef": {"kind": "PairingToken", "name": TOKEN}, "strategy": strategy}
        )

    def counts(self) -> Json:
        """Return the counts of the rotation as users see them."""
        counts: Json = self._status("tokenrotation", ROTATION).get("devices") or {}
        return counts

    def seconds_until_done(self) -> list[float]:
        """Return for each batch the seconds from the start until enough of its devices had succeeded."""
        status = self._status("tokenrotation", ROTATION)
        start = datetime.fromisoformat(status["startTime"])
        done = (datetime.fromisoformat(batch["doneTime"]) for batch in status["batches"])
        return [(time - start).total_seconds() for time in done]

    def abort(self) -> None:
        """End the rotation, for which some devices never come."""
        patch = json.dumps({"spec": {"desiredState": "Aborted"}})
        self._kubectl("patch", "tokenrotation", ROTATION, "--type=merge", "-p", patch)
        poll(lambda: self._status("tokenrotation", ROTATION)["state"] == "Aborted")

    def _checked_in(self) -> int:
        return len(self._kubectl("get", "devices", "-o", "jsonpath={.items[*].status.state}").split())

    def _status(self, kind: str, name: str) -> Json:
        found: Json = json.loads(self._kubectl("get", kind, name, "-o", "json"))
        return found.get("status") or {}

    def _apply(self, kind: str, name: str, spec: Json) -> None:
        body = {"apiVersion": "tallystick.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self._kubectl("apply", "-f", "-", given=json.dumps(body).encode())

    def _kubectl(self, *arguments: str, given: bytes | None = None) -> bytes:
        return self.stage.kubectl("--namespace", self.namespace, *arguments, given=given)
