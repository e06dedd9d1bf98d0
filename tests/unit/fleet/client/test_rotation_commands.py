"""`tallystick rotation plan` and `watch` over an API server in memory."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tallystick.fleet.client.rotation_plan import _rotation, plan_of, plan_text
from tests.worlds.fleet_world import NAMESPACE
from tests.worlds.rotation_world import RotationWorld

Json = dict[str, Any]
WEEK = timedelta(days=7)


def a_body(**spec: Any) -> Json:
    return {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "TokenRotation",
        "metadata": {"name": "rot-2"},
        "spec": {"targetRef": {"kind": "PairingToken", "name": "cams"}, **spec},
    }


@pytest.fixture
async def world() -> RotationWorld:
    world = RotationWorld()
    await world.a_project()
    world.enroll(5)
    return world


async def text_of(world: RotationWorld, what: str, since: datetime | None = None) -> str:
    rotation = await _rotation(world.cluster, what, NAMESPACE)
    plan, names = await plan_of(world.cluster, rotation, now=world.clock.now(), unseen=WEEK)
    return plan_text(plan, names, since)
