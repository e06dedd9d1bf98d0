"""`tallystick rotation plan` and `watch` over an API server in memory, beside the controller and the devices."""

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from rich.console import Console

from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.client.rotation_access import RotationError
from tallystick.fleet.client.rotation_plan import plan_of, plan_text, read_rotation, time_of
from tallystick.fleet.client.rotation_view import view_of
from tallystick.fleet.client.rotation_watch import Lines, follow, screen_of
from tallystick.objects.ports import UnavailableError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.fakes import NOON
from tests.worlds.fleet_world import NAMESPACE
from tests.worlds.rotation_world import ROTATION, RotationWorld

Json = dict[str, Any]
BATCHES = [{"name": "canary", "limit": 1}, {"name": "half", "limit": "50%"}]
SIZE = 6


@pytest.fixture
async def world() -> RotationWorld:
    """A project with devices, and its value is issued."""
    world = RotationWorld()
    world.project(checkInPeriod="5s")
    await world.work()
    world.enrolled(range(SIZE))
    world.count_devices()
    return world


def a_file(folder: Path, *, name: str = ROTATION, **spec: Any) -> str:
    body = {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "TokenRotation",
        "metadata": {"name": name},
        "spec": {"targetRef": {"kind": "PairingToken", "name": "cams"}, **spec},
    }
    file = folder / "rotation.yaml"
    file.write_text(yaml.safe_dump_all([{"kind": "PairingToken"}, body]), encoding="utf-8")
    return str(file)


async def plan(world: RotationWorld, what: str, since: datetime | None = None) -> list[str]:
    rotation = await read_rotation(world.cluster, what, NAMESPACE)
    found, names = await plan_of(world.cluster, rotation, now=world.clock.now(), unseen=timedelta(days=7))
    return plan_text(found, names, since).splitlines()


async def test_the_plan_of_a_file_changes_nothing_and_is_what_then_happens(
    world: RotationWorld, tmp_path: Path
) -> None:
    world.writes()
    lines = await plan(world, a_file(tmp_path, strategy={"batches": BATCHES}))
    written = [verb for verb, _ in world.writes() if verb != "dry_run"]
    world.rotate(strategy={"batches": BATCHES})
    await world.run(40, each_second=world.check_in_all)

    sizes = [line.split()[1] for line in lines[3:6]]
    assert lines[0] == "TokenRotation edge/rot-1 of PairingToken edge/cams: 6 devices, if it starts now"
    assert (sizes, written) == (["1", "3", "2"], [])
    assert [str(batch.total) for batch in world.rotation().status.batches] == sizes
    assert lines[7].startswith("The rotation succeeds at ")
    assert world.rotation().status.state == "Succeeded"


async def test_the_plan_of_a_file_with_an_edit_of_a_running_rotation_is_what_remains(
    world: RotationWorld, tmp_path: Path
) -> None:
    world.rotate(openBatches=1, strategy={"batches": BATCHES})
    await world.run(20, each_second=world.check_in_all)

    stored = await plan(world, ROTATION)
    edited = await plan(world, a_file(tmp_path, openBatches=3, strategy={"batches": BATCHES}))

    assert stored[0].endswith("Running, 1 of 6 devices have used the new copy")
    assert stored[3].split()[1:4] == ["1", "1", "open"]
    assert [line.endswith("3") and "by hand" in line for line in stored[4:5]] == [True]
    assert not any("by hand" in line for line in edited)


async def test_after_a_compromise_the_plan_lists_who_enrolled_since(world: RotationWorld, tmp_path: Path) -> None:
    world.clock.advance(3600)
    (thief,) = world.enrolled([99])
    file = a_file(tmp_path, reason="Compromised")

    lines = await plan(world, file, world.clock.now() - timedelta(minutes=5))
    without = await plan(world, file)

    assert [line.split()[0] for line in lines if line.startswith("d-")] == [thief]
    assert any("cam-99" in line for line in lines)
    assert lines[-1] == (
        'To revoke one: kubectl patch device DEVICE -n edge --type merge -p \'{"spec": {"revoked": true}}\''
    )
    assert without[-1].startswith("7 devices enrolled with the value that the rotation ends;")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: [", "is not YAML: see line 1"),
        ("kind: PairingToken", "must contain one TokenRotation, and contains 0; give another file"),
        ("kind: TokenRotation\nmetadata: []", "metadata is not valid; correct it"),
        pytest.param("#" * (2**20 + 1), "has more than 1048576 characters; give a file with", id="too long"),
    ],
)
async def test_a_file_that_cannot_be_planned_is_named(
    world: RotationWorld, tmp_path: Path, content: str, problem: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(RotationError, match=problem):
        await plan(world, str(file))


async def test_a_rotation_that_cannot_run_is_an_error_with_the_next_action(
    world: RotationWorld, tmp_path: Path
) -> None:
    with pytest.raises(RotationError, match="TokenRotation edge/nosuch does not exist; set --namespace, or give"):
        await plan(world, "nosuch")
    with pytest.raises(RotationError, match="is neither the name of a TokenRotation nor a file"):
        await plan(world, "No Such")
    with pytest.raises(RotationError, match="cannot be read: No such file or directory; give another file"):
        await plan(world, str(tmp_path / "nosuch.yaml"))
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, "cams")
    with pytest.raises(RotationError, match="PairingToken edge/cams does not exist; create it, or correct"):
        await plan(world, a_file(tmp_path))


def test_the_time_of_a_theft_is_a_time_or_a_duration() -> None:
    assert time_of("48h", NOON) == NOON - timedelta(hours=48)
    assert time_of("2026-11-30T08:00:00Z", NOON) == datetime(2026, 11, 30, 8, tzinfo=UTC)
    for text in ("yesterday", "2026-11-30T08:00:00", "2026-11-30"):
        with pytest.raises(typer.BadParameter, match="--enrolled-since must be a time such as"):
            time_of(text, NOON)


@dataclass
class Passing:
    """The clock of a watch: with each pause, the world moves on."""

    world: RotationWorld
    then: Callable[[int], Awaitable[object] | object] = lambda _: None
    pauses: int = 0

    def now(self) -> datetime:
        return self.world.clock.now()

    def monotonic(self) -> float:
        return self.world.clock.monotonic()

    async def pause(self, seconds: float) -> None:
        self.pauses += 1
        self.then(self.pauses)
        await self.world.run(round(seconds), each_second=self.world.check_in_all)


@dataclass
class Watched:
    """The lines of one watch, and how it ended."""

    lines: list[str] = field(default_factory=list)
    error: str = ""


async def watch(world: RotationWorld, then: Callable[[int], object] = lambda _: None) -> Watched:
    watched = Watched()
    try:
        await follow(world.cluster, NAMESPACE, ROTATION, Lines(watched.lines.append), Passing(world, then))
    except RotationError as error:
        watched.error = str(error)
    return watched


async def test_a_watch_waits_for_the_rotation_and_ends_without_an_error_only_after_success(
    world: RotationWorld,
) -> None:
    def then(pauses: int) -> None:
        if pauses == 3:
            world.rotate(strategy={"batches": BATCHES, "minSuccessTime": "20s"})

    watched = await watch(world, then)

    texts = [line.partition(" ")[2] for line in watched.lines]
    assert watched.error == ""
    assert texts[0] == "TokenRotation edge/rot-1 does not exist yet; waiting for it"
    assert any("next: batch 2 (half) in " in text for text in texts)
    assert texts[-1] == (
        "Succeeded, batch 3/3: 0 pending, 0 in progress, 6 succeeded, 0 failed; all 6 devices have used the new copy"
    )
    assert len(set(texts)) == len(texts)  # a line is a change


async def test_an_aborted_rotation_is_an_error(world: RotationWorld) -> None:
    world.rotate(openBatches=1, strategy={"batches": BATCHES})
    aborted = await watch(world, lambda pauses: world.edit(desiredState="Aborted") if pauses == 9 else None)

    assert aborted.error == "TokenRotation edge/rot-1 was aborted; to go on, create another one"
    assert " Aborting, batch 1/3: " in aborted.lines[-2]
    assert "5 without rotation" in aborted.lines[-1]


async def test_a_revoked_target_is_a_failure(world: RotationWorld) -> None:
    world.rotate(openBatches=1, strategy={"batches": BATCHES})

    failed = await watch(world, lambda pauses: world.edit_token(revoked=True) if pauses == 9 else None)

    assert failed.error == "TokenRotation edge/rot-1 has failed; to go on, create another one"


async def test_a_deleted_rotation_is_an_error_also_if_another_one_has_its_name(world: RotationWorld) -> None:
    world.rotate(openBatches=1, strategy={"batches": BATCHES})

    def replaced(pauses: int) -> None:
        if pauses == 9:
            world.cluster.remove(TOKEN_ROTATIONS, NAMESPACE, ROTATION)
            world.rotate()

    watched = await watch(world, replaced)

    assert watched.error == (
        "TokenRotation edge/rot-1 was deleted while it was Running, which aborts it; to go on, create another one"
    )


async def test_a_watch_outlasts_an_api_server_that_does_not_respond(world: RotationWorld, monkeypatch: Any) -> None:
    world.rotate()
    get, failing = world.cluster.get, [False]

    async def flaky(*place: Any) -> Json:
        if failing[0] and place[0] == TOKEN_ROTATIONS:
            raise UnavailableError("the API server did not respond")
        return await get(*place)

    monkeypatch.setattr(world.cluster, "get", flaky)

    watched = await watch(world, lambda pauses: failing.__setitem__(0, 2 <= pauses <= 5))

    assert watched.error == ""
    assert [line for line in watched.lines if "did not respond" in line] != []
    assert len([line for line in watched.lines if "did not respond" in line]) == 1
    assert " Succeeded, " in watched.lines[-1]


async def test_a_new_failure_is_a_line_of_its_own_and_a_row_of_the_table(world: RotationWorld) -> None:
    world.rotate(strategy={"maxFailures": "100%"})
    await world.run(3)
    name = min(world.sims)
    world.sims[name].check_in()
    world.sims[name].check_in(failed="DiskFull")
    await world.run(3)
    lines: list[str] = []
    screen, view = Lines(lines.append), view_of(world.rotation(), world.clock.now())

    screen.show(view, world.clock.now())
    screen.show(view, world.clock.now())
    shown = io.StringIO()
    Console(width=100, file=shown).print(*screen_of(view))

    assert [line.partition(" ")[2] for line in lines[1:]] == [f"failed: {name} DiskFull"]
    assert "TokenRotation edge/rot-1 of PairingToken cams: Running, batch 1/1" in shown.getvalue()
    assert "DiskFull" in shown.getvalue()
    assert "next: finished when 6 more devices have used the new copy" in shown.getvalue()
