"""The controller starts, opens, aborts and finishes rotations by writes that a real API server accepts.

The devices enroll with the value in the Secret, and follow their contract.
"""

import base64
from typing import Any

from tallystick.errors import NotYetError
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.objects.ports import Json
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import API_VERSION
from tests.live.fleet.fleet_plane import admin, installed, own_plane
from tests.live.fleet.live_controller import LiveController
from tests.live.fleet.test_enrollments import Project, on_project
from tests.worlds.fleet_world import Agent

__all__ = ["admin", "installed", "on_project", "own_plane"]

SIZE = 6


async def apply_project(project: Project, **spec: Any) -> LiveController:
    """Create a PairingToken as a user does, and let a controller issue its value."""
    body = {
        "apiVersion": API_VERSION,
        "kind": PAIRING_TOKENS.kind,
        "metadata": {"name": "cams", "namespace": project.namespace},
        "spec": {"purpose": "DeviceProject", "projectKey": "fleet01", "checkInPeriod": "5s", **spec},
    }
    project.uid = (await project.people.create(PAIRING_TOKENS, body))["metadata"]["uid"]
    controller = LiveController(project.controller, project.signer, project.namespace)

    async def issued() -> bool:
        return (await project.token()).get("status", {}).get("state") == "Active"

    await controller.run_until(issued)
    return controller


async def stored_value(project: Project) -> str:
    secret = await project.people.get(SECRETS, project.namespace, "cams-pairing-token")
    return base64.b64decode(secret["data"]["token"]).decode()


async def enroll(project: Project, size: int) -> list[Agent]:
    value, agents = await stored_value(project), [Agent(project) for _ in range(size)]
    for agent in agents:
        await agent.enroll(project.replica(), value)
        await agent.check_in(project.replica())
    return agents


async def apply_rotation(project: Project, name: str, **spec: Any) -> None:
    body = {
        "apiVersion": API_VERSION,
        "kind": TOKEN_ROTATIONS.kind,
        "metadata": {"name": name, "namespace": project.namespace},
        "spec": {"targetRef": {"kind": "PairingToken", "name": "cams"}, **spec},
    }
    await project.people.create(TOKEN_ROTATIONS, body)


async def status_of(project: Project, name: str) -> Json:
    body = await project.people.get(TOKEN_ROTATIONS, project.namespace, name)
    return body.get("status") or {}


async def order(project: Project, name: str, state: str) -> None:
    body = await project.people.get(TOKEN_ROTATIONS, project.namespace, name)
    await project.people.replace(TOKEN_ROTATIONS, {**body, "spec": {**body["spec"], "desiredState": state}})


def until(project: Project, name: str, state: str, agents: list[Agent]) -> Any:
    """Let all devices check in, and return whether a rotation has a state and its token shows it."""

    async def reached() -> bool:
        for agent in agents:
            try:
                await agent.check_in(project.replica())
            except NotYetError:
                continue  # another writer was faster: the device asks again
        lock = (await project.token())["status"].get("rotation", {})
        return (await status_of(project, name)).get("state") == state == lock.get("state")

    return reached


def test_a_rotation_moves_each_device_in_batches_and_the_next_one_after_an_abort(on_project: Any) -> None:
    async def rotated(project: Project) -> None:
        controller = await apply_project(project)
        agents, first = await enroll(project, SIZE), await stored_value(project)

        batches = [{"name": "canary", "limit": 1}, {"name": "half", "limit": "50%"}]
        await apply_rotation(project, "rot-1", strategy={"batches": batches, "maxConcurrency": 2})
        await controller.run_until(until(project, "rot-1", "Succeeded", agents))
        done, token = await status_of(project, "rot-1"), await project.token()

        await apply_rotation(project, "rot-2", openBatches=1, strategy={"batches": batches})
        await controller.run_until(until(project, "rot-2", "Running", agents))
        await order(project, "rot-2", "Aborted")
        controller = LiveController(project.controller, project.signer, project.namespace)
        await controller.run_until(until(project, "rot-2", "Aborted", agents))
        aborted = await status_of(project, "rot-2")

        await apply_rotation(project, "rot-3", strategy={"deadline": "1h"})
        await controller.run_until(until(project, "rot-3", "Succeeded", agents))

        assert done["devices"] == {
            "total": SIZE,
            "pending": 0,
            "inProgress": 0,
            "succeeded": SIZE,
            "failed": 0,
            "noRotation": 0,
        }
        assert [batch["total"] for batch in done["batches"]] == [1, 3, 2]
        assert token["status"]["rotation"]["summary"] == f"0/0/{SIZE}/0"
        assert await stored_value(project) != first
        assert sum(count for name, count in aborted["devices"].items() if name != "total") == SIZE
        assert [one["name"] for one in (await project.token())["status"]["rotations"]] == ["rot-3", "rot-2", "rot-1"]
        assert {body["status"]["generation"] for body in await project.devices()} == {4}

    on_project(rotated)


def test_a_revoked_token_ends_its_rotation_and_its_devices(on_project: Any) -> None:
    async def revoked(project: Project) -> None:
        controller = await apply_project(project)
        await enroll(project, 2)
        await apply_rotation(project, "rot-1")
        await controller.run_until(until(project, "rot-1", "Running", []))

        token = await project.token()
        await project.people.replace(PAIRING_TOKENS, {**token, "spec": {**token["spec"], "revoked": True}})
        await controller.run_until(until(project, "rot-1", "Failed", []))

        async def all_revoked() -> bool:
            return {body["status"].get("state") for body in await project.devices()} == {"Revoked"}

        await controller.run_until(all_revoked)
        assert (await status_of(project, "rot-1"))["conditions"][0]["reason"] == "TargetRevoked"

    on_project(revoked)
