"""docs/backup.md: etcd is restored from a snapshot, and all tokens of its time are valid again."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tallystick.localplane.commands import etcd_command
from tallystick.localplane.plane import ETCD, ControlPlane
from tests.harness.installed import new_namespace
from tests.harness.own_system import OwnSystem
from tests.harness.plane import own_plane
from tests.harness.processes import poll
from tests.harness.system import running
from tests.live.fleet.project_site import Camera, Project
from tests.live.platform.test_backup import GOOD, KEYRING, Fleet

__all__ = ["own_plane"]


def without_ca(data: dict[str, str]) -> dict[str, str]:
    """Each system of the test has a CA of its own. The Secrets follow it."""
    return {key: value for key, value in data.items() if key != "ca.crt"}


@contextmanager
def stopped_etcd(plane: ControlPlane) -> Iterator[Path]:
    """Stop etcd and the API server for the length of the block, and give the folder of the data."""
    plane.kill_apiserver()
    plane._children[ETCD].stop(grace=10.0)
    yield plane._home.layout.etcd
    plane._spawn(ETCD, etcd_command(plane.binaries, plane.pki, plane._home.layout, plane._ports, durable=False))
    plane.restart_apiserver()


def project_at(system: OwnSystem, namespace: str) -> Project:
    return Project(system.admin, namespace, system.exchange, system.up.folder)


def moved_to(system: OwnSystem, cameras: list[Camera]) -> list[Camera]:
    """Lead devices, with their keys and copies, to another system of the same cluster."""
    project = project_at(system, cameras[0].project.namespace)
    return [Camera(project, one.key, system.exchange, one.device, one.copy) for one in cameras]


def test_after_etcd_is_restored_all_tokens_of_the_snapshot_are_valid_again(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    with OwnSystem.of(running(own_plane, tmp_path / "before")) as system:
        fleet, listen = Fleet.at(system), system.up.url.removeprefix("https://")
        secrets = fleet.secrets
        project = project_at(system, new_namespace(system.admin, "cameras"))
        project.apply()
        cameras = project.cameras(2)
    with stopped_etcd(own_plane) as data:
        shutil.copytree(data, snapshot)

    with OwnSystem.of(running(own_plane, tmp_path / "damage", listen=listen)) as system:
        # Newer than the snapshot: a revocation, which has to be repeated, and the loss of the keys.
        system.admin.merge(fleet.pairing, {"spec": {"revoked": True}}).must_succeed()
        poll(lambda: system.admin.get(fleet.pairing)["status"]["state"] == "Revoked")
        # One device uses a copy that is newer than the snapshot, and the other one has stored it.
        used, offered = moved_to(system, cameras)
        used.project.rotating()
        used.prove(used.take())
        newer = offered.take()
        system.admin.delete(KEYRING).must_succeed()
    with stopped_etcd(own_plane) as data:
        shutil.rmtree(data)
        shutil.copytree(snapshot, data)

    with OwnSystem.of(running(own_plane, tmp_path / "after", listen=listen)) as system:
        restored = fleet.of_system(system)
        restored.all_say(*GOOD)
        assert [without_ca(one) for one in restored.secrets] == [without_ca(one) for one in secrets]
        poll(lambda: restored.answers() == [True, True, True])
        # Each device goes on by its contract: the newer copy first, the other one after a 401, then its key.
        used, offered = moved_to(system, [used, offered])
        assert [used.check_in().status, offered.check_in(newer).status, offered.check_in().status] == [401, 401, 204]
        assert (used.enroll().status, used.device) == (200, cameras[0].device)
        assert used.check_in().status == 204
