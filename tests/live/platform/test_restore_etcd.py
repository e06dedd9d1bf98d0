"""docs/backup.md: etcd is restored from a snapshot, and all tokens of its time are valid again."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tallystick.localplane.commands import etcd_command
from tallystick.localplane.plane import ETCD, ControlPlane
from tests.harness.own_system import OwnSystem
from tests.harness.plane import own_plane
from tests.harness.processes import poll
from tests.harness.system import running
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


def test_after_etcd_is_restored_all_tokens_of_the_snapshot_are_valid_again(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    with OwnSystem.of(running(own_plane, tmp_path / "before")) as system:
        fleet, listen = Fleet.at(system), system.up.url.removeprefix("https://")
        secrets = fleet.secrets
    with stopped_etcd(own_plane) as data:
        shutil.copytree(data, snapshot)

    with OwnSystem.of(running(own_plane, tmp_path / "damage", listen=listen)) as system:
        # Newer than the snapshot: a revocation, which has to be repeated, and the loss of the keys.
        system.admin.merge(fleet.pairing, {"spec": {"revoked": True}}).must_succeed()
        poll(lambda: system.admin.get(fleet.pairing)["status"]["state"] == "Revoked")
        system.admin.delete(KEYRING).must_succeed()
    with stopped_etcd(own_plane) as data:
        shutil.rmtree(data)
        shutil.copytree(snapshot, data)

    with OwnSystem.of(running(own_plane, tmp_path / "after", listen=listen)) as system:
        restored = fleet.of_system(system)
        restored.all_say(*GOOD)
        assert [without_ca(one) for one in restored.secrets] == [without_ca(one) for one in secrets]
        poll(lambda: restored.answers() == [True, True, True])
