"""The next step for a MasterKey: one row for each state of object, Secret, memory and join keys."""

from datetime import UTC, datetime

import pytest

from tallystick.clusterkeys.api.master_key import MasterKey
from tallystick.clusterkeys.domain.join_key_facts import JoinKeyFacts, JoinKeySummary
from tallystick.clusterkeys.domain.keys import KeyProblem
from tallystick.clusterkeys.domain.master_key_secret import Absent, Foreign, Held, SecretVersion, Unusable
from tallystick.clusterkeys.domain.master_key_step import (
    Done,
    ForgetPrevious,
    Generate,
    NoteRemoval,
    Record,
    RemoveSecret,
    Report,
    next_step,
)
from tallystick.clusterkeys.domain.master_key_view import Memory, View
from tests.unit.clusterkeys.vectors import a_master_key

FIRST, SECOND = a_master_key("first"), a_master_key("second")
VERSION = SecretVersion("uid", "7")
HELD_FIRST, HELD_SECOND = Held(VERSION, FIRST), Held(VERSION, SECOND)
ROTATED = Held(VERSION, SECOND, previous=FIRST)
BROKEN = Unusable(KeyProblem("InvalidKey", "no key"))
OUR_BROKEN = Unusable(KeyProblem("InvalidKey", "no key"), VERSION)
AT = datetime(2030, 1, 1, tzinfo=UTC)
LOADED = Memory(FIRST, None, "controller-1", AT, "uid")
REMOVED = Memory(FIRST, None, "controller-1", AT, "uid", removed=True)
NONE = JoinKeySummary()
OUTDATED = JoinKeySummary(total=1, sealed_with={FIRST.fingerprint: 1})
BUSY = JoinKeySummary(total=1, not_ready=JoinKeyFacts("edge", "jpd-1", "default", None, False, "", "", ""))

GENERATED: dict = {}
PROVIDED = {"secretRef": {"name": "mk"}}
EXTERNAL = {"secretRef": {"name": "mk"}, "external": True}


def a_key(spec, recorded=None, *, serial=1, asks=1, source="Generated", deleting=False, previous=None):
    """A MasterKey with a key of this fingerprint on record for `serial`, whose spec asks for serial `asks`."""
    status = {"previousFingerprint": previous.fingerprint} if previous else {}
    status |= {"fingerprint": recorded.fingerprint, "serial": serial, "source": source} if recorded else {}
    meta = {"name": "default", "namespace": "edge", "uid": "1"}
    meta |= {"deletionTimestamp": "2030-01-01T00:00:00Z"} if deleting else {}
    return MasterKey.model_validate({"metadata": meta, "spec": {"serial": asks, **spec}, "status": status})


def reported(reason):
    return lambda step: isinstance(step, Report) and step.readiness.reason.value == reason


def is_(wanted):
    return lambda step: step == wanted


ROWS = [
    # A generated key.
    ("without a Secret, a key is generated", a_key(GENERATED), Absent(), NONE, is_(Generate())),
    ("the key of a crash is recorded", a_key(GENERATED), HELD_FIRST, NONE, is_(Record(HELD_FIRST, 1))),
    ("a taken name is a conflict", a_key(GENERATED), Foreign(), NONE, reported("SecretConflict")),
    ("a first key that is damaged is reported", a_key(GENERATED), OUR_BROKEN, NONE, reported("InvalidKey")),
    ("a key on record stays", a_key(GENERATED, FIRST), HELD_FIRST, NONE, is_(Done())),
    ("a key that is gone is lost", a_key(GENERATED, FIRST), Absent(), NONE, reported("KeyLost")),
    ("another key is a change", a_key(GENERATED, FIRST), HELD_SECOND, NONE, reported("MasterKeyChanged")),
    ("the previous key alone is a change", a_key(GENERATED, FIRST), ROTATED, NONE, reported("MasterKeyChanged")),
    ("a damaged key is reported", a_key(GENERATED, FIRST), OUR_BROKEN, NONE, reported("InvalidKey")),
    (
        "a new serial rotates",
        a_key(GENERATED, FIRST, asks=2),
        HELD_FIRST,
        OUTDATED,
        is_(Generate(over=VERSION, previous=FIRST)),
    ),
    ("a new serial replaces a lost key", a_key(GENERATED, FIRST, asks=2), Absent(), NONE, is_(Generate())),
    (
        "a new serial replaces a damaged key",
        a_key(GENERATED, FIRST, asks=2),
        OUR_BROKEN,
        NONE,
        is_(Generate(over=VERSION)),
    ),
    (
        "the key of a crash during a rotation is recorded",
        a_key(GENERATED, FIRST, asks=2),
        ROTATED,
        OUTDATED,
        is_(Record(ROTATED, 2, replaces=FIRST.fingerprint)),
    ),
    (
        "a previous key that is needed stays",
        a_key(GENERATED, SECOND, serial=2, asks=2, previous=FIRST),
        ROTATED,
        OUTDATED,
        is_(Done()),
    ),
    (
        "a previous key that is not needed goes",
        a_key(GENERATED, SECOND, serial=2, asks=2, previous=FIRST),
        ROTATED,
        NONE,
        is_(ForgetPrevious(ROTATED)),
    ),
    (
        "after a crash the previous key goes from the status alone",
        a_key(GENERATED, SECOND, serial=2, asks=2, previous=FIRST),
        HELD_SECOND,
        NONE,
        is_(ForgetPrevious()),
    ),
    (
        "a second rotation waits for the first",
        a_key(GENERATED, SECOND, serial=2, asks=3, previous=FIRST),
        ROTATED,
        OUTDATED,
        is_(Done()),
    ),
    ("an object that is being deleted gets no key", a_key(GENERATED, deleting=True), Absent(), NONE, is_(Done())),
    # The user's own key.
    ("a provided key is waited for", a_key(PROVIDED), Absent(), NONE, reported("WaitingForKey")),
    ("a provided key is recorded", a_key(PROVIDED), HELD_FIRST, NONE, is_(Record(HELD_FIRST, 1))),
    ("a bad provided key is reported", a_key(PROVIDED), BROKEN, NONE, reported("InvalidKey")),
    (
        "a bad new key is reported and nothing is written into the user's Secret",
        a_key(PROVIDED, FIRST, asks=2, source="Provided"),
        BROKEN,
        NONE,
        reported("InvalidKey"),
    ),
    (
        "a provided key that is gone is waited for",
        a_key(PROVIDED, FIRST, source="Provided"),
        Absent(),
        NONE,
        reported("WaitingForKey"),
    ),
    (
        "another provided key is a change",
        a_key(PROVIDED, FIRST, source="Provided"),
        HELD_SECOND,
        NONE,
        reported("MasterKeyChanged"),
    ),
    (
        "a rotation waits for the user's new key",
        a_key(PROVIDED, FIRST, asks=2, source="Provided"),
        HELD_FIRST,
        NONE,
        is_(Done()),
    ),
    (
        "the user's new key is recorded",
        a_key(PROVIDED, FIRST, asks=2, source="Provided"),
        ROTATED,
        OUTDATED,
        is_(Record(ROTATED, 2, replaces=FIRST.fingerprint)),
    ),
    (
        "the user's copy of a generated key changes hands",
        a_key(PROVIDED, FIRST, asks=2),
        HELD_FIRST,
        NONE,
        is_(Record(HELD_FIRST, 2)),
    ),
    (
        "the user's Secret keeps the previous key",
        a_key(PROVIDED, SECOND, serial=2, asks=2, source="Provided", previous=FIRST),
        ROTATED,
        NONE,
        is_(ForgetPrevious()),
    ),
    # An external key that is not in memory.
    ("a first external key is waited for", a_key(EXTERNAL), Absent(), NONE, reported("WaitingForKey")),
    ("a first external key is loaded", a_key(EXTERNAL), HELD_FIRST, NONE, is_(Record(HELD_FIRST, 1, loads=True))),
    (
        "a missing external key is asked for",
        a_key(EXTERNAL, FIRST, source="Provided"),
        Absent(),
        NONE,
        reported("MasterKeyRequired"),
    ),
    (
        "the right external key is loaded",
        a_key(EXTERNAL, FIRST, source="Provided"),
        HELD_FIRST,
        NONE,
        is_(Record(HELD_FIRST, 1, loads=True)),
    ),
    (
        "a wrong external key is left alone",
        a_key(EXTERNAL, FIRST, source="Provided"),
        HELD_SECOND,
        NONE,
        reported("MasterKeyMismatch"),
    ),
    (
        "an external key is rotated while it is not in memory",
        a_key(EXTERNAL, FIRST, asks=2, source="Provided"),
        ROTATED,
        NONE,
        is_(Record(ROTATED, 2, replaces=FIRST.fingerprint, loads=True, previous=FIRST)),
    ),
    (
        "the old external key is loaded while a rotation waits for the new one",
        a_key(EXTERNAL, FIRST, asks=2, source="Provided"),
        HELD_FIRST,
        NONE,
        is_(Record(HELD_FIRST, 1, loads=True)),
    ),
]


@pytest.mark.parametrize(
    ("key", "found", "join_keys", "is_wanted"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_the_next_step(key, found, join_keys, is_wanted):
    assert is_wanted(next_step(key, View(found=found, join_keys=join_keys)))


RECORDED = a_key(EXTERNAL, FIRST, source="Provided")
IN_MEMORY = [
    ("its Secret goes once all join keys are ready", RECORDED, LOADED, HELD_FIRST, NONE, is_(RemoveSecret(VERSION))),
    ("its Secret stays while one is not ready", RECORDED, LOADED, HELD_FIRST, BUSY, is_(Done())),
    (
        "its Secret stays while one is sealed with another key",
        RECORDED,
        LOADED,
        HELD_FIRST,
        JoinKeySummary(total=1, sealed_with={SECOND.fingerprint: 1}),
        is_(Done()),
    ),
    ("a Secret that is gone is noted", RECORDED, LOADED, Absent(), NONE, is_(NoteRemoval())),
    (
        "a fresh Secret with the same key is not the one that was loaded",
        RECORDED,
        LOADED,
        Held(SecretVersion("fresh", "8"), FIRST),
        NONE,
        is_(NoteRemoval()),
    ),
    ("a Secret that was overwritten is not removed", RECORDED, LOADED, HELD_SECOND, NONE, is_(NoteRemoval())),
    (
        "a Secret that waits for its finalizers is deleted once",
        RECORDED,
        LOADED,
        Held(VERSION, FIRST, is_terminating=True),
        NONE,
        is_(Done()),
    ),
    ("a Secret for the next start stays", RECORDED, REMOVED, HELD_FIRST, NONE, is_(Done())),
    ("a wrong Secret for the next start stays", RECORDED, REMOVED, HELD_SECOND, NONE, is_(Done())),
    (
        "a rotation waits for the new key",
        a_key(EXTERNAL, FIRST, asks=2, source="Provided"),
        REMOVED,
        Absent(),
        NONE,
        is_(Done()),
    ),
    (
        "the Secret stays while a rotation waits",
        a_key(EXTERNAL, FIRST, asks=2, source="Provided"),
        LOADED,
        HELD_FIRST,
        NONE,
        is_(Done()),
    ),
    (
        "the new key is loaded beside the old one",
        a_key(EXTERNAL, FIRST, asks=2, source="Provided"),
        REMOVED,
        HELD_SECOND,
        OUTDATED,
        is_(Record(HELD_SECOND, 2, replaces=FIRST.fingerprint, loads=True, previous=FIRST)),
    ),
    (
        "the old key is forgotten when no join key needs it",
        a_key(EXTERNAL, FIRST, source="Provided", previous=SECOND),
        REMOVED,
        Absent(),
        NONE,
        is_(ForgetPrevious()),
    ),
]


@pytest.mark.parametrize(
    ("key", "memory", "found", "join_keys", "is_wanted"), [row[1:] for row in IN_MEMORY], ids=[r[0] for r in IN_MEMORY]
)
def test_the_next_step_for_a_key_in_memory(key, memory, found, join_keys, is_wanted):
    assert is_wanted(next_step(key, View(found=found, memory=memory, join_keys=join_keys)))
