"""A service reads its key from a mounted Secret, and uses a replaced one from its next token on."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.clusterkeys.client import (
    InvalidServiceTokenError,
    JoinKeyFilesError,
    JoinKeyMismatchError,
    JoinKeys,
    mounted,
)
from tests.unit.clusterkeys.vectors import a_join_key
from tests.worlds.mounted_keys import MountedSecret

FORM = "must be 32 or 64 hexadecimal characters (AES-128 or AES-256)"
WEAK = "is not random: it repeats itself, counts, or stands in a manual"
NOW = 1_796_040_000.0
FIRST = {"join-key": a_join_key().to_hex(), "key-id": a_join_key().fingerprint, "cluster-name": "jpd-1"}
SECOND = {**FIRST, "join-key": a_join_key("second").to_hex()}


@pytest.fixture
def mount(tmp_path: Path) -> MountedSecret:
    mounted_secret = MountedSecret(tmp_path / "join-key")
    mounted_secret.write(FIRST)
    return mounted_secret


def keys_in(mount: MountedSecret) -> JoinKeys:
    return JoinKeys(mount.folder, now=lambda: NOW)


def plain(folder: Path, files: dict[str, str]) -> JoinKeys:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return JoinKeys(folder, now=lambda: NOW)


def test_two_services_with_the_same_mount_trust_each_other(mount: MountedSecret) -> None:
    token = keys_in(mount).sign("artifactory", {"scope": "read"})

    claims = keys_in(mount).verify(token)

    assert (claims["iss"], claims["aud"], claims["scope"]) == ("artifactory", "jpd-1", "read")
    assert claims["exp"] - claims["iat"] == 300


def test_two_tokens_have_different_ids(mount: MountedSecret) -> None:
    keys = keys_in(mount)

    assert len({keys.verify(keys.sign("access"))["jti"] for _ in range(10)}) == 10


def test_a_replaced_key_signs_the_next_token_without_a_restart(mount: MountedSecret) -> None:
    keys = keys_in(mount)
    old = keys.sign("access")

    mount.write({**SECOND, "join-key-accepted": FIRST["join-key"]})

    assert keys.membership().signing == a_join_key("second")
    assert keys.verify(old)["iss"] == "access"
    assert keys.verify(keys.sign("access"))["iss"] == "access"


def test_an_accepted_key_that_is_gone_is_not_accepted_any_more(mount: MountedSecret) -> None:
    keys = keys_in(mount)
    old = keys.sign("access")

    mount.write({**SECOND, "join-key-accepted": FIRST["join-key"]})
    keys.verify(old)
    mount.write(SECOND)

    with pytest.raises(JoinKeyMismatchError):
        keys.verify(old)


def test_the_files_are_read_once_for_each_version(mount: MountedSecret) -> None:
    keys = keys_in(mount)
    first = keys.membership()

    assert keys.membership() is first
    mount.write(FIRST)
    assert keys.membership() is not first


def interrupt(monkeypatch: pytest.MonkeyPatch, before: str, change: Callable[[], object]) -> None:
    """Make a change each time before a file of this name is read."""
    really_read = mounted._content

    def interrupted(current: Path, folder: Path, name: str) -> bytes | None:
        if name == before:
            change()
        return really_read(current, folder, name)

    monkeypatch.setattr(mounted, "_content", interrupted)


@pytest.mark.parametrize("before", ["cluster-name", "services", "join-key", "join-key-accepted"])
def test_files_that_kubelet_swaps_in_the_middle_are_read_again(
    mount: MountedSecret, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    versions = iter([{**SECOND, "join-key-accepted": FIRST["join-key"]}])
    interrupt(monkeypatch, before, lambda: [mount.write(files) for files in versions])

    membership = keys_in(mount).membership()

    assert membership.signing == a_join_key("second")
    assert membership.accepted == a_join_key("first")


def test_a_folder_that_changes_all_the_time_ends_with_an_error(
    mount: MountedSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, "join-key", lambda: mount.write(FIRST))

    with pytest.raises(JoinKeyFilesError, match="changes all the time"):
        keys_in(mount).membership()


def test_a_plain_folder_is_read_each_time(tmp_path: Path) -> None:
    keys = plain(tmp_path / "keys", FIRST)
    assert keys.membership().signing == a_join_key()

    plain(tmp_path / "keys", SECOND)

    assert keys.membership().signing == a_join_key("second")


def test_the_listed_services_may_sign_and_no_other(tmp_path: Path) -> None:
    listed = plain(tmp_path / "listed", {**FIRST, "services": "artifactory,access,xray\n"})
    unlisted = plain(tmp_path / "unlisted", FIRST)

    assert listed.verify(listed.sign("xray"))["iss"] == "xray"
    with pytest.raises(InvalidServiceTokenError):
        listed.verify(unlisted.sign("distribution"))


PROBLEMS: dict[str, tuple[dict[str, str | None], str]] = {
    "no key": ({"join-key": None}, "FOLDER/join-key does not exist; mount the Secret of the JoinKey as this folder"),
    "no cluster": (
        {"cluster-name": None},
        "FOLDER/cluster-name does not exist; mount the Secret of the JoinKey as this folder",
    ),
    "another cluster name": (
        {"cluster-name": "Jpd 1"},
        "FOLDER/cluster-name is not the name of a JoinKey; mount the Secret of one there",
    ),
    "a key of another form": (
        {"join-key": "x" * 32},
        f"FOLDER/join-key {FORM}; contains a non-hexadecimal character at position 1",
    ),
    "an accepted key of another form": (
        {"join-key-accepted": ""},
        f"FOLDER/join-key-accepted {FORM}; got 0 characters",
    ),
    "a weak key": (
        {"join-key": "0" * 64},
        f"FOLDER/join-key {WEAK}; make one with openssl rand -hex 32",
    ),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_folder_without_a_usable_key_is_named_with_the_next_action(tmp_path: Path, case: str) -> None:
    changes, message = PROBLEMS[case]
    files = {name: text for name, text in {**FIRST, **changes}.items() if text is not None}
    keys = plain(tmp_path / "keys", files)

    with pytest.raises(JoinKeyFilesError) as caught:
        keys.sign("access")

    assert str(caught.value) == message.replace("FOLDER", str(tmp_path / "keys"))


def test_a_file_that_cannot_be_read_is_named_with_the_next_action(tmp_path: Path) -> None:
    keys = plain(tmp_path / "keys", FIRST)
    (tmp_path / "keys" / "join-key").unlink()
    (tmp_path / "keys" / "join-key").mkdir()

    with pytest.raises(JoinKeyFilesError) as caught:
        keys.sign("access")

    assert "join-key cannot be read: Is a directory; mount the Secret with defaultMode 0400" in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(JoinKeyFilesError, match="cluster-name does not exist"):
        JoinKeys(tmp_path / "absent").sign("access")


PROGRAM = """
    import sys

    class Refuse:
        def find_spec(self, name, path=None, target=None):
            top = name.partition(".")[0]
            allowed = {"tallystick", "jwt", "cryptography", "_cffi_backend", "cffi", "typing_extensions"}
            if top in allowed or top in sys.stdlib_module_names or top == "sitecustomize":
                return None
            raise ModuleNotFoundError(f"refused: {name}", name=name)

    sys.meta_path.insert(0, Refuse())
    try:
        import pydantic
    except ModuleNotFoundError:
        pass
    else:
        sys.exit("the hook refuses nothing")

    from tallystick.clusterkeys.client import JoinKeys

    keys = JoinKeys(sys.argv[1])
    print(keys.verify(keys.sign("access"))["iss"])
"""


def test_the_module_needs_cryptography_and_pyjwt_alone(mount: MountedSecret) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(mount.folder)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "access\n", "")
