"""Each message of a MasterKey is plain English, fits a condition, and names what to do; none holds a key."""

from datetime import UTC, datetime

import pytest

from tallystick.clusterkeys.api.master_key import MasterKey
from tallystick.clusterkeys.domain import master_key_messages as messages
from tallystick.clusterkeys.domain.join_key_facts import JoinKeyFacts
from tallystick.clusterkeys.domain.keys import Purpose
from tallystick.clusterkeys.domain.master_key_secret import Absent, Held, SecretVersion, Unusable
from tallystick.clusterkeys.domain.master_key_view import Memory
from tallystick.clusterkeys.domain.provided import read_provided
from tests.unit.clusterkeys.vectors import a_master_key
from tests.unit.prose import Text, problems

FIRST, SECOND = a_master_key("first"), a_master_key("second")
MEMORY = Memory(FIRST, None, "tallystick-controller-0_uid", datetime(2030, 1, 1, tzinfo=UTC), "uid")
HELD, OTHER = Held(SecretVersion("uid", "1"), FIRST), Held(SecretVersion("uid", "1"), SECOND)
BLOCKING = JoinKeyFacts("edge", "jpd-1", "default", None, False, "TargetNamespaceNotFound", "Active", "")


def a_key(*, recorded=True, asks=1, external=False):
    status = {"fingerprint": FIRST.fingerprint, "previousFingerprint": SECOND.fingerprint, "serial": 1}
    spec = {"secretRef": {"name": "mk"}, "serial": asks, "external": external}
    meta = {"name": "default", "namespace": "edge"}
    return MasterKey.model_validate({"metadata": meta, "spec": spec, "status": status if recorded else {}})


def bad(body):
    return read_provided(Purpose.MASTER, body, where="edge/mk", bits=256)


def secret(value, type_="tallystick.dev/master-key"):
    return {"type": type_, "data": {"master-key": value}}


BAD = [bad(secret("YWJj")), bad(secret("", "Opaque")), bad({**secret(""), "data": {"other": ""}})]
UNUSABLE = Unusable(BAD[0])
KEY = a_key()

TEXTS = {
    "stored": messages.stored_text(KEY),
    **{
        f"in memory, {name}": messages.in_memory_text(KEY, MEMORY, found)
        for name, found in {"gone": Absent(), "in place": HELD, "wrong": OTHER, "no key": UNUSABLE}.items()
    },
    "removal pending": messages.removal_text(KEY, BLOCKING, is_terminating=False),
    "removal of a Secret with finalizers": messages.removal_text(KEY, None, is_terminating=True),
    "removal before all are sealed": messages.removal_text(KEY, None, is_terminating=False),
    **{
        f"new key, {name}": messages.new_key_text(a_key(asks=2), found)
        for name, found in {"gone": Absent(), "old": HELD, "no key": UNUSABLE}.items()
    },
    "rotating": messages.rotating_text(KEY, 2, 3, has_previous=True),
    "rotating without the old key": messages.rotating_text(KEY, 1, 3, has_previous=False),
    "rotated": messages.rotated_text(KEY, SECOND.fingerprint),
    **{f"bad key {problem.reason}": messages.problem_of(KEY, problem).message for problem in BAD},
    "waiting": messages.waiting(a_key(recorded=False)).message,
    "waiting for a known key": messages.waiting(KEY).message,
    "lost": messages.lost(KEY).message,
    "changed": messages.changed(KEY, SECOND.fingerprint).message,
    "required": messages.required(KEY).message,
    "mismatch": messages.mismatch(KEY, SECOND.fingerprint).message,
    "conflict": messages.conflict(KEY).message,
    "required for a join key": messages.required_for_join_keys_text("edge", "default", FIRST.fingerprint),
    "no master key": messages.no_master_key_text("edge", "default"),
    "not ready": messages.not_ready_text("edge", "default", "KeyLost"),
}
each = pytest.mark.parametrize("name", TEXTS)


@each
def test_a_message_is_plain_english(name):
    assert problems([Text(name, TEXTS[name])]) == []


@each
def test_a_message_fits_a_condition_even_with_the_longest_names(name):
    longest = TEXTS[name].replace("edge/", "n" * 63 + "/").replace("/mk", "/" + "s" * 253)

    assert len(longest.replace("tallystick-controller-0_uid", "i" * 320)) <= 1024


@each
def test_no_message_holds_a_part_of_a_key(name):
    value = FIRST.to_hex()

    assert not any(value[start : start + 8] in TEXTS[name] for start in range(len(value) - 8))


def test_messages_that_lead_out_of_a_stall_name_the_fingerprint_to_put_back():
    for name in ("lost", "changed", "required", "mismatch", "in memory, wrong", "waiting for a known key"):
        assert FIRST.fingerprint in TEXTS[name], name
