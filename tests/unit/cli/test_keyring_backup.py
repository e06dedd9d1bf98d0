"""The file of a backup: private, never overwritten, and read back only if it holds a usable keyring."""

import os
import stat
from pathlib import Path

import pytest
import yaml

from tallystick.cli import keyring_backup
from tallystick.cli.keyring_backup import KeysError, ids, in_use, merged, read_backup, store, stored, write_backup
from tallystick.objects.labels import BOOTSTRAP_ANNOTATION
from tallystick.objects.ports import ConflictError, RefusedError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.schema.builtin import SECRETS
from tallystick.tokens.keyrings import keyring_secret, stored_keyring
from tests.builders import a_key, a_keyring, raw_master_token
from tests.fakes import FakeCluster

NAMESPACE, NAME = "tallystick-system", "tallystick-keyring"
FIRST, SECOND = a_key("first").key_id, a_key("second").key_id


def a_secret(*names: str):
    return keyring_secret(a_keyring(*names), NAMESPACE)


def test_a_backup_is_private_and_is_read_back_without_the_fields_of_the_server(tmp_path):
    secret = a_secret("first", "second")
    secret["metadata"] |= {
        "uid": "u",
        "resourceVersion": "7",
        "annotations": {
            "team": "trust",
            "tallystick.dev/missing-keys": "k",
            "kubectl.kubernetes.io/last-applied-configuration": "x",
        },
    }
    secret["data"]["notes"] = "aGVsbG8="
    file = tmp_path / "keyring.yaml"

    write_backup(secret, file)
    read = read_backup(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ids(stored_keyring(read)) == {FIRST, SECOND}
    assert read["metadata"] == {
        "name": NAME,
        "namespace": NAMESPACE,
        "labels": {"app.kubernetes.io/managed-by": "tallystick"},
        "annotations": {"team": "trust"},
    }
    assert read["data"]["notes"] == "aGVsbG8="


def an_existing_file(folder: Path) -> Path:
    file = folder / "there"
    file.write_text("kept")
    return file


def a_link_to_nowhere(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "elsewhere")
    return folder / "link"


@pytest.mark.parametrize(
    ("out", "text"),
    [
        (an_existing_file, "already exists; nothing was written"),
        (a_link_to_nowhere, "already exists; nothing was written"),
        (lambda folder: folder, "already exists; nothing was written"),
        (lambda folder: folder / "no" / "folder", "cannot be created: No such file or directory"),
        (lambda folder: an_existing_file(folder) / "below", "cannot be created: Not a directory"),
    ],
)
def test_a_backup_overwrites_nothing_and_follows_no_link(tmp_path, out, text):
    with pytest.raises(KeysError, match=text):
        write_backup(a_secret(), out(tmp_path))

    assert not (tmp_path / "elsewhere").exists()
    assert all(file.read_text() == "kept" for file in tmp_path.iterdir() if file.name == "there")


def test_a_backup_that_cannot_be_written_leaves_no_part_of_a_key(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(KeysError, match="cannot be written: No space left on device"):
        write_backup(a_secret(), tmp_path / "keyring.yaml")

    assert list(tmp_path.iterdir()) == []


def test_private_keys_are_not_printed_to_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(keyring_backup.sys.stdout, "isatty", lambda: True)

    with pytest.raises(KeysError, match="would print private keys to the terminal"):
        write_backup(a_secret(), Path("-"))

    assert capsys.readouterr().out == ""


def test_a_pipe_gets_the_manifest(capsys):
    write_backup(a_secret(), Path("-"))

    assert yaml.safe_load(capsys.readouterr().out)["kind"] == "Secret"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "is not a Secret with data"),
        (b"[]", "is not a Secret with data"),
        (b"kind: ConfigMap\ndata: {}", "is not a Secret with data"),
        (b"kind: Secret", "is not a Secret with data"),
        (b"kind: Secret\ndata: {keyring.json: e30=}", "holds no usable keyring: the keyring does not have version 1"),
        (b"kind: Secret\ndata: {keyring.json: 7}", "holds no usable keyring: data key keyring.json is missing"),
        (b"kind: [Secret", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"a: *b", "is not YAML"),
        (b"x" * (2 * 1024 * 1024 + 1), "is too large for a Secret"),
    ],
)
def test_a_file_that_is_no_backup_is_refused_in_one_line(tmp_path, raw, text):
    file = tmp_path / "keyring.yaml"
    file.write_bytes(raw)

    with pytest.raises(KeysError) as refusal:
        read_backup(file)

    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(KeysError, match="cannot be read"):
        read_backup(tmp_path / name)


def test_no_error_about_a_damaged_backup_quotes_a_key(tmp_path):
    file = tmp_path / "keyring.yaml"
    write_backup(a_secret(), file)
    value = yaml.safe_load(file.read_text())["data"]["keyring.json"]
    file.write_text(file.read_text().replace(value, value[:200] + "\n  : [" + value[200:]))

    with pytest.raises(KeysError) as refusal:
        read_backup(file)

    assert value[180:200] not in str(refusal.value)


def test_two_keyrings_merge_in_the_order_in_which_their_keys_sign():
    both = merged(a_keyring("first"), a_keyring("second"))

    assert ids(both) == {FIRST, SECOND}
    assert merged(both, both) == both


def test_keyrings_of_two_issuers_do_not_merge():
    with pytest.raises(KeysError, match="keys of two issuers cannot be merged"):
        merged(a_keyring("first"), a_keyring("second", issuer="https://other.example.com"))


async def test_s27_a_restored_keyring_is_marked_unless_the_record_is_still_there():
    cluster, backup = FakeCluster(), a_secret("first")
    record = {BOOTSTRAP_ANNOTATION: '{"generation":2}'}
    backup["metadata"]["annotations"] = dict(record)
    await store(cluster, NAMESPACE, None, a_keyring("first"), backup)
    created = cluster.peek(SECRETS, NAMESPACE, NAME)

    damaged = cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body["metadata"].update(annotations=record))
    await store(cluster, NAMESPACE, damaged, a_keyring("first"), backup)
    kept = cluster.peek(SECRETS, NAMESPACE, NAME)
    bare = cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body["metadata"].update(annotations={}))
    await store(cluster, NAMESPACE, bare, a_keyring("first"), backup)
    added = cluster.peek(SECRETS, NAMESPACE, NAME)

    assert kept["metadata"]["annotations"] == record
    for marked in (created, added):
        assert "markedTime" in marked["metadata"]["annotations"][BOOTSTRAP_ANNOTATION]


async def test_a_lost_secret_is_created_as_in_the_backup_and_a_present_one_keeps_what_others_wrote():
    cluster = FakeCluster()
    backup = a_secret("first")
    backup["metadata"]["annotations"] = {"team": "trust"}
    await store(cluster, NAMESPACE, None, a_keyring("first"), backup)
    created = cluster.peek(SECRETS, NAMESPACE, NAME)
    cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body["data"].update(notes="aGVsbG8="))

    await store(cluster, NAMESPACE, cluster.peek(SECRETS, NAMESPACE, NAME), a_keyring("second"), backup)
    replaced = cluster.peek(SECRETS, NAMESPACE, NAME)

    mark = created["metadata"]["annotations"][BOOTSTRAP_ANNOTATION]
    kept = {"team": "trust", BOOTSTRAP_ANNOTATION: mark}
    assert created["metadata"]["annotations"] == replaced["metadata"]["annotations"] == kept
    assert (replaced["data"]["notes"], ids(stored_keyring(replaced))) == ("aGVsbG8=", {SECOND})


async def test_a_keyring_that_changed_since_it_was_read_is_not_overwritten():
    cluster = FakeCluster()
    cluster.put(SECRETS, a_secret("first"))
    read = (await stored(cluster, NAMESPACE)).body
    cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body["data"].update(notes="aGVsbG8="))

    with pytest.raises(ConflictError):
        await store(cluster, NAMESPACE, read, a_keyring("second"), {})


async def test_a_kind_that_cannot_be_listed_makes_every_key_count_as_in_use():
    cluster = FakeCluster()
    cluster.put(MASTER_TOKENS, raw_master_token(expirationTime="2999-01-01T00:00:00Z"))
    known = await in_use(cluster)
    cluster.fail_next("list", "mastertokens", RefusedError("forbidden"))

    unknown = await in_use(cluster)

    assert (known.among({FIRST, SECOND}), known.unknown) == ({FIRST}, "")
    assert unknown.among({FIRST, SECOND}) == {FIRST, SECOND}
    assert "mastertokens cannot be listed" in unknown.unknown


@pytest.mark.parametrize(
    ("body", "problem"),
    [(None, "it does not exist"), ({}, "it is damaged: data key keyring.json is missing, or is not base64")],
)
async def test_a_keyring_that_cannot_be_used_is_read_with_the_reason(body, problem):
    cluster = FakeCluster()
    if body is not None:
        cluster.put(SECRETS, {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": body})

    found = await stored(cluster, NAMESPACE)

    assert (found.keyring, found.problem) == (None, problem)
