"""A project of devices on a running system: its objects as a user writes them, and its devices by HTTP."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.schema.meta import API_VERSION
from tests.harness.api import Api
from tests.harness.clock import MovedClock
from tests.harness.exchange import Exchange, HttpAnswer
from tests.harness.objects import condition, must, read_token, secret_of, value_of, wait_for_state
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]

FRESH_SECONDS = 1.0
STRAGGLERS = timedelta(seconds=16)
OK, NO_CONTENT = HTTPStatus.OK, HTTPStatus.NO_CONTENT


@dataclass
class Camera:
    """A device that a test drives request by request. `copy` is the one that the exchange has accepted last."""

    project: "Project"
    key: SigningKey | None
    client: Exchange
    device: str = ""
    copy: str = field(default="", repr=False)

    def enroll(self, value: str = "", *, name: str = "") -> HttpAnswer:
        """Enroll with a value, or with the present one. Keep the copy of the answer."""
        answer = self.client.enroll(value or self.project.value(), self.key, name=name)
        if answer.status in (HTTPStatus.CREATED, OK):
            self.device, self.copy = answer.body["device_id"], answer.body["token"]
        return answer

    def check_in(self, copy: str = "", *, failed: Json | None = None) -> HttpAnswer:
        """Check in with a copy, or with its own; keep none of the answer."""
        return self.client.check_in(self.device, copy or self.copy, self.key, failed=failed)

    def take(self) -> str:
        """Check in until the exchange hands out a newer copy, and return it. It is not used."""
        answer = must(poll(lambda: handed_out(self.check_in())))
        token: str = answer["token"]
        return token

    def prove(self, copy: str) -> None:
        """Use a newer copy, and keep it as its own."""
        assert self.check_in(copy).status == NO_CONTENT
        self.copy = copy

    def follow(self) -> None:
        """Check in once as the contract says: take a newer copy if there is one, and use it at once."""
        answer = self.check_in()
        assert answer.status in (OK, NO_CONTENT), (answer.status, answer.body)
        if answer.status == OK:
            self.prove(answer.body["token"])

    @property
    def generation(self) -> int:
        """The generation of its copy."""
        generation: int = read_token(self.copy).claims["tallystick"]["serial"]
        return generation

    @property
    def body(self) -> Json:
        """Name its Device."""
        return {"kind": "Device", "metadata": {"namespace": self.project.namespace, "name": self.device}}


def handed_out(answer: HttpAnswer) -> Json | None:
    """Return the newer copy of an answer; None for an answer without one. No other answer is expected."""
    assert answer.status in (OK, NO_CONTENT, HTTPStatus.SERVICE_UNAVAILABLE), (answer.status, answer.body)
    return answer.body if answer.status == OK else None


@dataclass(frozen=True)
class Project:
    """One PairingToken of purpose DeviceProject in a namespace of its own, and its devices."""

    api: Api
    namespace: str
    client: Exchange
    folder: Path
    name: str = "cams"

    def pairing_token(self, **spec: Any) -> Json:
        """Build the PairingToken; nothing is sent."""
        metadata = {"name": self.name, "namespace": self.namespace}
        spec = {"purpose": "DeviceProject", "projectKey": "fleet01", "checkInPeriod": "5s"} | spec
        return {"apiVersion": API_VERSION, "kind": "PairingToken", "metadata": metadata, "spec": spec}

    def apply(self, **spec: Any) -> Json:
        """Apply the PairingToken by kubectl, and return it once its value is issued."""
        body = self.pairing_token(**spec)
        self.api.kubectl_apply(body).must_succeed()
        return wait_for_state(self.api, body, "Active")

    @property
    def token(self) -> Json:
        """The PairingToken as it is stored."""
        return self.api.get(self.pairing_token())

    def edit(self, **spec: Any) -> Json:
        """Change fields of its spec, as `kubectl patch` does."""
        return self.api.merge(self.pairing_token(), {"spec": spec}).must_succeed()

    def value(self) -> str:
        """Read the value to enroll with from the Secret."""
        return value_of(self.api.get(secret_of(self.pairing_token())), "token")

    def new_value(self, old: str) -> str:
        """Return the value to enroll with once it is another one."""
        return str(poll(lambda: value if (value := self.value()) != old else ""))

    def camera(self, *, keyed: bool = True, value: str = "", client: Exchange | None = None) -> Camera:
        """Enroll one more device, and let it check in."""
        camera = Camera(self, SigningKey.generate("ES256") if keyed else None, client or self.client)
        answer = camera.enroll(value)
        assert answer.status == HTTPStatus.CREATED, (answer.status, answer.body)
        assert camera.check_in().status == NO_CONTENT
        return camera

    def cameras(self, number: int) -> list[Camera]:
        """Enroll devices, in the order of the names of their Devices."""
        return sorted((self.camera() for _ in range(number)), key=lambda camera: camera.device)

    def wait_until_counted(self, clock: MovedClock, number: int) -> None:
        """Return when so many devices are counted, which the controller does ten seconds after they have enrolled."""
        clock.advance(timedelta(seconds=11))
        poll(lambda: self.token["status"].get("devices", 0) == number)

    def devices(self) -> list[Json]:
        """All Devices of the namespace, by name."""
        return sorted(self.api.find_all("Device", self.namespace), key=lambda body: str(body["metadata"]["name"]))

    def rotation(self, name: str = "rot-1", **spec: Any) -> Json:
        """Build a TokenRotation; nothing is sent."""
        spec = {"targetRef": {"kind": "PairingToken", "name": self.name}} | spec
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": API_VERSION, "kind": "TokenRotation", "metadata": metadata, "spec": spec}

    def rotate(self, name: str = "rot-1", **spec: Any) -> Json:
        """Apply a TokenRotation by kubectl."""
        return self.api.kubectl_apply(self.rotation(name, **spec)).must_succeed()

    def rotating(self, name: str = "rot-1", **spec: Any) -> Json:
        """Apply a TokenRotation, and return it once its first batch is open."""
        self.rotate(name, **spec)
        return must(poll(lambda: found if (found := self.status(name)).get("open") else None))

    def order(self, name: str, **spec: Any) -> Json:
        """Change fields of the spec of a TokenRotation."""
        return self.api.merge(self.rotation(name), {"spec": spec}).must_succeed()

    def status(self, name: str = "rot-1") -> Json:
        """The status of a TokenRotation; empty while it has none, or does not exist."""
        status: Json = (self.api.find(self.rotation(name)) or {}).get("status", {})
        return status

    def reason(self, name: str = "rot-1") -> str:
        """The reason of its condition Succeeded."""
        return str(self.succeeded(name).get("reason", ""))

    def succeeded(self, name: str = "rot-1") -> Json:
        """Its condition Succeeded; empty while it has none."""
        return condition({"status": self.status(name)}, "Succeeded")

    def wait(self, name: str = "rot-1", *, state: str = "", reason: str = "") -> Json:
        """Return the status of a TokenRotation once it has a state and a reason."""

        def reached() -> Json | None:
            status = self.status(name)
            said = condition({"status": status}, "Succeeded").get("reason")
            return status if state in ("", status.get("state")) and reason in ("", said) else None

        return must(poll(reached))

    def wait_for_counts(self, name: str = "rot-1", **wanted: int) -> Json:
        """Return the status of a TokenRotation once its counts are these."""

        def reached() -> Json | None:
            status = self.status(name)
            counts = status.get("devices", {})
            return status if all(counts.get(state) == number for state, number in wanted.items()) else None

        return must(poll(reached))

    def end(self, clock: MovedClock, name: str = "rot-1", *, state: str) -> Json:
        """Move the clock until a TokenRotation has its last state, and return its status."""

        def reached() -> Json | None:
            status = self.status(name)
            return status if status.get("state") == state else None

        return after_stragglers(clock, reached)

    def finish(self, cameras: list[Camera], name: str = "rot-1") -> Json:
        """Let devices check in until the rotation has succeeded."""

        def reached() -> Json | None:
            for camera in cameras:
                camera.follow()
            status = self.status(name)
            return status if status.get("state") == "Succeeded" else None

        return must(poll(reached))

    def events(self, reason: str) -> list[Json]:
        """The events of the namespace with a reason."""
        return [event for event in self.api.find_all("Event", self.namespace) if event["reason"] == reason]

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace, and return its output."""
        return self.api.kubectl(*arguments, "--namespace", self.namespace)

    def table(self, *arguments: str) -> list[Json]:
        """Run `kubectl get`, and return its rows by the titles of the columns, which are in upper case."""
        head, *rows = self.kubectl("get", *arguments).splitlines()
        titles = [part for part in head.split("  ") if part]
        starts = [head.index(title) for title in titles]
        ends = [*starts[1:], None]
        named = [title.strip() for title in titles]
        return [
            dict(zip(named, (row[start:end].strip() for start, end in zip(starts, ends, strict=True)), strict=True))
            for row in rows
        ]

    def audit(self, process: str, action: str = "") -> list[Json]:
        """Read the audit lines of a process about the namespace, of one action or of all."""
        text = (self.folder / f"audit-{process}.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line.get("namespace") == self.namespace and action in ("", line["action"])]


@pytest.fixture
def project(system: System, admin: Api, make_namespace: Callable[[str], str], exchange: Exchange) -> Project:
    """A namespace for one test. Nothing is applied yet."""
    return Project(admin, make_namespace("fleet"), exchange, system.up.folder)


def counts_of(status: Json) -> Json:
    """Return the numbers of a TokenRotation that are not 0. They sum to its total."""
    counts: Json = status["devices"]
    assert counts["total"] == sum(number for state, number in counts.items() if state != "total")
    return {state: number for state, number in counts.items() if number}


def after_older_readings() -> None:
    """Return when no replica decides by a reading that was sent before the call: each is a second old at most."""
    began = time.monotonic()
    poll(lambda: time.monotonic() > began + FRESH_SECONDS)


def after_stragglers(clock: MovedClock, fact: Callable[[], Json | None]) -> Json:
    """Return a fact that the controller writes 15 seconds after it has first looked, for which the clock is moved."""

    def moved() -> Json | None:
        if found := fact():
            return found
        clock.advance(STRAGGLERS)
        after_older_readings()
        return None

    return must(poll(moved))
