"""`tallystick rotation plan` and `watch` over an API server in memory."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.fleet.client.rotation_access import RotationError
from tallystick.fleet.client.rotation_plan import _rotation, _time, plan_of, plan_text
from tallystick.fleet.client.rotation_view import View
from tallystick.fleet.client.rotation_watch import Lines, follow, screen_of
from tallystick.objects.ports import RefusedError, UnavailableError
from tests.fakes import NOON, FakeClock, FakeCluster
from tests.worlds.fleet_world import NAMESPACE
from tests.worlds.rotation_world import ROTATION, RotationWorld

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
