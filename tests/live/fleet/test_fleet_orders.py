"""What a user orders of a rotation, and what the rotation does with devices that fail, are late, or come meanwhile."""

from datetime import timedelta
from typing import Any

from tallystick.schema.meta import API_VERSION
from tests.harness.objects import condition, read_token
from tests.harness.processes import poll
from tests.harness.system import System
from tests.live.fleet.project_site import Project, after_older_readings, after_stragglers, counts_of, project

__all__ = ["project"]

CANARY = {"batches": [{"name": "canary", "selector": {"matchLabels": {"ring": "canary"}}}]}
ONE_BY_ONE = {"batches": [{"name": "first", "limit": 1}, {"name": "second", "limit": 1}]}


def report(copy: str) -> dict[str, Any]:
    """Build the report of a device that cannot store a copy."""
    generation = read_token(copy).claims["tallystick"]["serial"]
    return {"generation": generation, "reason": "DiskFull", "message": "no space left"}


def test_batches_open_in_the_order_of_names_and_only_as_far_as_the_gate(project: Project) -> None:
    project.apply()
    first, second, third = project.cameras(3)
    project.rotating(openBatches=1, strategy=ONE_BY_ONE)
    assert (second.check_in().status, third.check_in().status) == (204, 204)
    first.prove(first.take())
    project.wait(reason="WaitingForBatch")
    waiting = project.succeeded()["message"]
    assert (second.check_in().status, third.check_in().status) == (204, 204)

    project.order("rot-1", openBatches=2)
    second.prove(second.take())
    assert third.check_in().status == 204
    project.order("rot-1", openBatches=None)
    third.prove(third.take())
    done = project.wait(state="Succeeded")

    assert waiting == "batch 1 of 3 is done; raise spec.openBatches to 2 to go on"
    counted = [(batch["name"], batch["succeeded"]) for batch in done["batches"]]
    assert counted == [("first", 1), ("second", 1), ("rest", 1)]


def test_a_device_that_is_away_neither_blocks_nor_counts_and_starts_when_it_comes(
    project: Project, system: System
) -> None:
    project.apply()
    away, second, third = project.cameras(3)
    half = {"batches": [{"name": "first", "limit": 2}], "successThreshold": "50%", "maxConcurrency": 1}
    project.rotating(strategy=half)
    held = second.check_in()
    system.clock.advance(timedelta(seconds=16))  # three check-in periods: its place goes on
    second.prove(second.take())
    third.prove(third.take())
    waiting = project.wait(reason="WaitingForDevices")
    away.prove(away.take())

    assert held.status == 204
    assert counts_of(waiting) == {"pending": 1, "succeeded": 2, "total": 3}
    assert counts_of(project.wait(state="Succeeded")) == {"succeeded": 3, "total": 3}


def test_too_many_failures_halt_until_a_late_proof(project: Project, system: System) -> None:
    project.apply()
    broken, slow, other = project.cameras(3)
    project.rotating(strategy={"maxFailures": 1, "inProgressTimeout": "30s"})
    first, late = broken.take(), slow.take()
    assert broken.check_in(failed=report(first)).status == 204
    system.clock.advance(timedelta(seconds=31))
    halted = project.wait(state="Halted", reason="TooManyFailures")
    message = project.succeeded()["message"]
    after_older_readings()
    held = other.check_in()
    slow.prove(late)
    other.prove(other.take())
    again = broken.take()
    broken.prove(again)
    done = project.wait(state="Succeeded")

    failed = {(one["name"], one["reason"]) for one in halted["failedDevices"]}
    assert failed == {(broken.device, "DiskFull"), (slow.device, "NotProved")}
    assert message.startswith("2 of 3 devices have failed, and 1 may: ")
    assert [event["reason"] for event in project.events("TooManyFailures")] == ["TooManyFailures"]
    assert (held.status, again) == (204, first)
    assert counts_of(done) == {"succeeded": 3, "total": 3}


def test_a_pause_stops_starts_and_lets_a_device_finish(project: Project) -> None:
    project.apply()
    started, waits = project.cameras(2)
    project.rotating()
    new = started.take()
    project.order("rot-1", desiredState="Paused")
    after_older_readings()
    held = waits.check_in()
    started.prove(new)
    paused = project.wait(state="Paused", reason="Paused")
    project.wait_for_counts(succeeded=1)
    project.order("rot-1", desiredState="Running")
    waits.prove(waits.take())

    assert held.status == 204
    assert paused["devices"]["total"] == 2
    project.wait(state="Succeeded")


def test_a_rotation_that_is_deleted_is_aborted_and_is_not_run_again(project: Project, system: System) -> None:
    project.apply()
    moved, left = project.cameras(2)
    project.rotating(openBatches=1, strategy={"batches": [{"name": "first", "limit": 1}]})
    moved.prove(moved.take())
    poll(lambda: project.token["status"]["rotation"].get("summary") == "1/0/1/0")
    project.kubectl("delete", "tokenrotation", "rot-1")
    project.rotate()
    project.wait(reason="AlreadyRun")
    value, generation = project.value(), project.token["status"]["generation"]

    def released() -> dict[str, Any] | None:
        lock: dict[str, Any] = project.token["status"]["rotation"]
        return lock if lock["state"] == "Aborted" else None

    lock = after_stragglers(system.clock, released)

    assert (lock["summary"], generation) == ("0/0/1/0", 2)
    assert [line["reason"] for line in project.audit("controller", "abort")] == ["Deleted"]
    assert (left.check_in().status, left.generation) == (204, 1)
    project.order("rot-1", openBatches=None)
    project.rotate("rot-2")
    project.finish([moved, left], "rot-2")
    assert (project.reason("rot-1"), left.generation) == ("AlreadyRun", 3)
    assert project.value() != value
    assert len(project.events("AlreadyRun")) == 1


def test_a_finished_rotation_is_not_run_again_and_an_abort_of_it_is_stored(project: Project) -> None:
    project.apply()
    camera = project.camera()
    project.rotating()
    project.finish([camera])
    project.order("rot-1", desiredState="Aborted")
    value = project.value()
    body = project.api.get(project.rotation())
    project.kubectl("delete", "tokenrotation", "rot-1")
    project.rotate()
    project.wait(reason="AlreadyRun")

    assert (body["spec"]["desiredState"], body["status"]["state"]) == ("Aborted", "Succeeded")
    assert project.value() == value
    assert camera.check_in().status == 204


def test_a_device_that_enrolls_meanwhile_has_the_new_generation_and_is_not_counted(project: Project) -> None:
    project.apply()
    first, second = project.cameras(2)
    old = project.value()
    project.rotating()
    newcomer = project.camera(value=project.new_value(old))
    project.api.delete(second.body | {"apiVersion": API_VERSION}).must_succeed()
    first.follow()
    done = project.wait(state="Succeeded")

    assert newcomer.generation == 2
    assert counts_of(done) == {"succeeded": 1, "total": 1}


def test_new_labels_move_a_device_that_has_not_started(project: Project) -> None:
    project.apply()
    stays, goes = project.cameras(2)
    project.rotating(openBatches=1, strategy=CANARY)
    before = [batch["total"] for batch in project.wait(reason="WaitingForBatch")["batches"]]
    held = (stays.check_in().status, goes.check_in().status)
    labels = {"metadata": {"labels": {"ring": "canary"}}}
    project.api.merge(goes.body | {"apiVersion": API_VERSION}, labels).must_succeed()
    goes.prove(goes.take())
    project.wait_for_counts(succeeded=1)

    assert (before, held) == ([0, 2], (204, 204))
    assert [batch["total"] for batch in project.status()["batches"]] == [1, 1]
    assert stays.check_in().status == 204


def test_devices_start_in_a_window_only_and_a_wrong_one_is_rejected_before_the_start(
    project: Project, system: System
) -> None:
    project.apply()
    first, second = project.cameras(2)
    opens = system.clock.now() + timedelta(hours=2)
    window = {"schedule": f"{opens.minute} {opens.hour} * * *", "duration": "1h"}
    project.rotate(strategy={"windows": [window | {"schedule": "0 25 * * *"}]})
    project.wait(state="Pending", reason="InvalidWindow")
    untouched = project.token["status"]
    project.order("rot-1", strategy={"windows": [window]})
    project.wait(state="Running", reason="WaitingForWindow")
    held = first.check_in()
    system.clock.advance(timedelta(hours=2, minutes=1))
    first.prove(first.take())
    system.clock.advance(timedelta(hours=1))
    after = second.check_in()

    assert ("rotation" in untouched, untouched["generation"]) == (False, 1)
    assert condition(project.api.get(project.rotation()), "Stalled") == {}
    assert (held.status, after.status) == (204, 204)


def test_at_the_deadline_the_devices_that_are_left_keep_their_old_copies(project: Project, system: System) -> None:
    project.apply()
    done, away = project.cameras(2)
    project.rotating(strategy={"deadline": "10m", "maxFailures": "100%"})
    done.prove(done.take())
    system.clock.advance(timedelta(minutes=10))
    held = away.check_in()
    project.wait(state="Halted")
    ended = project.end(system.clock, state="Failed")

    assert (held.status, project.reason()) == (204, "DeadlineExceeded")
    assert counts_of(ended) == {"succeeded": 1, "failed": 1, "total": 2}
    assert [(one["name"], one["reason"]) for one in ended["failedDevices"]] == [(away.device, "DeadlineExceeded")]
    assert away.check_in().status == 204
    assert len(project.events("DeadlineExceeded")) == 1


def test_the_batches_are_cut_in_the_order_that_kubectl_shows(project: Project) -> None:
    project.apply()
    cameras = project.cameras(3)

    names = [f"device.tallystick.dev/{camera.device}" for camera in cameras]
    assert project.kubectl("get", "devices", "-o", "name").splitlines() == names
