"""Replicas of the exchange are killed between the swap that takes a place and the create of its Device.

Never more devices enroll than there are places, and no place stays lost: its key finds it, and the leader gives it up
ten minutes later if the key does not come back.
"""

import gc
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from http import HTTPStatus
from itertools import cycle
from pathlib import Path

import pytest
import urllib3

from tallystick.crypto.keys import SigningKey
from tallystick.fleet.domain.copies import device_name
from tests.harness.exchange import HttpAnswer, Replica, replica
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System
from tests.live.fleet.project_site import Camera, Project, project

__all__ = ["project"]

DEVICES_THAT_ASK, FREE, BEFORE = 50, 10, 5
# Each replica dies after another one of its swaps. The places of those before it have, or get, their Devices.
DOOMED = (
    "after:replace_status:pairingtokens:1",
    "after:replace_status:pairingtokens:2",
    "before:create:devices",
)
MOST_TRIES = 60
FULL = "device-limit"


def ask(camera: Camera, urls: Sequence[str], value: str, first: int) -> str:
    """Ask as a device does, until there is a final answer, or no replica is left to ask."""
    answered = True
    for url, _ in zip(cycle(urls[first % len(urls) :] + urls[: first % len(urls)]), range(MOST_TRIES), strict=False):
        camera.client = camera.client.at(url)
        try:
            answer = camera.enroll(value)
        except urllib3.exceptions.SSLError:  # the replica was killed during the handshake
            answer = HttpAnswer(0, {}, {})
        if answer.status in (HTTPStatus.CREATED, HTTPStatus.OK):
            return "enrolled"
        if answer.status == HTTPStatus.FORBIDDEN:
            return answer.body["type"].removeprefix("urn:problem:")
        answered = answer.status != 0
        threading.Event().wait(float(answer.headers.get("Retry-After", 0.02)))
    return "no final answer" if answered else "no answer"


def all_ask(cameras: Sequence[Camera], urls: Sequence[str], value: str) -> dict[str, list[Camera]]:
    with ThreadPoolExecutor(len(cameras)) as threads:
        results = list(threads.map(lambda number: ask(cameras[number], urls, value, number), range(len(cameras))))
    found: dict[str, list[Camera]] = {}
    for camera, result in zip(cameras, results, strict=True):
        found.setdefault(result, []).append(camera)
    return found


def enrolling(project: Project) -> set[str]:
    return {entry["name"] for entry in project.token["status"].get("enrolling", [])}


def named(project: Project) -> set[str]:
    of_token = (body for body in project.devices() if body["spec"]["pairingTokenRef"]["name"] == project.name)
    return {body["metadata"]["name"] for body in of_token}


@pytest.fixture
def cut_off_handshakes() -> Iterator[None]:
    """Collect the sockets whose handshake a kill has cut off, because urllib3 does not close them."""
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.usefixtures("cut_off_handshakes")
@pytest.mark.proof(gate=1, soak=5)
def test_of_50_enrollments_at_10_free_places_10_pass_although_replicas_are_killed(
    project: Project, system: System, tmp_path: Path, rounds: int, figure: Figure
) -> None:
    for number in range(rounds):
        project = Project(project.api, project.namespace, project.client, project.folder, name=f"cams-{number}")
        project.apply(maxDevices=BEFORE + FREE)
        for _ in range(BEFORE):
            project.camera()
        value, before = project.value(), named(project)
        cameras = [Camera(project, SigningKey.generate("ES256"), project.client) for _ in range(DEVICES_THAT_ASK)]

        with ExitStack() as stack:
            doomed = [
                stack.enter_context(replica(system, tmp_path / f"doomed-{number}-{point[-1]}", failpoint=point))
                for point in DOOMED
            ]
            cut_off = all_ask(cameras, [one.url for one in doomed], value)
            assert {one.child.wait(10.0) for one in doomed} == {-signal.SIGKILL}
        lost = enrolling(project) - named(project)
        assert lost
        assert set(cut_off) <= {"no answer", "enrolled", FULL}

        with ExitStack() as stack:
            healthy = _three(stack, system, tmp_path / f"healthy-{number}")
            urls = [one.url for one in healthy]
            # One of the keys whose place has no Device never comes back.
            gone = next(camera for camera in cameras if _device_of(project, camera) in lost)
            back = [camera for camera in cameras if camera is not gone]
            answers = {result: len(those) for result, those in all_ask(back, urls, value).items()}
            meanwhile = named(project) - before
            system.clock.advance(timedelta(minutes=10, seconds=1))
            poll(lambda project=project: enrolling(project) == set())
            first, *refused = [camera for camera in back if not camera.device]
            # A replica may reject by a reading of the last second. A device asks again.
            poll(lambda first=first, urls=urls, value=value: ask(first, urls, value, 0) == "enrolled")
            later = {result: len(those) for result, those in all_ask(refused, urls, value).items()}

        figure(
            f"{len(doomed)} replicas killed, {len(lost)} places without a Device by then; {answers} of {len(back)}; "
            f"after ten minutes one more, and {later} of {len(refused)}"
        )
        assert answers == {"enrolled": FREE - 1, FULL: DEVICES_THAT_ASK - FREE}
        assert len(meanwhile) == FREE - 1
        assert later == {FULL: DEVICES_THAT_ASK - FREE - 1}
        assert len(named(project)) == BEFORE + FREE
        assert Counter(body["spec"]["keyThumbprint"] for body in project.devices()).most_common(1)[0][1] == 1


def _three(stack: ExitStack, system: System, folder: Path) -> list[Replica]:
    return [stack.enter_context(replica(system, folder / str(number))) for number in range(3)]


def _device_of(project: Project, camera: Camera) -> str:
    """The name of the Device of a key, which follows from it."""
    assert camera.key is not None
    return device_name(project.token["metadata"]["uid"], camera.key.key_id)
