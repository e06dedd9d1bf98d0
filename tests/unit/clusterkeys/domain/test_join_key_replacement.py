"""Which change of a join key is due: by its status, its spec, the user's Secret and the time, and nothing else."""

from datetime import timedelta

import pytest

from tallystick.clusterkeys.api.join_key import JoinKey
from tallystick.clusterkeys.domain.join_key_replacement import (
    Cancel,
    Held,
    Picture,
    Publish,
    Retire,
    Switch,
    change_due,
    next_picture,
    present_picture,
    replaced_status,
)
from tallystick.schema.times import rfc3339
from tests.fakes import NOON
from tests.worlds.join_key_world import raw_join_key

OLD, NEW, NEWER = (f"jk-{number:024x}" for number in (1, 2, 3))
LATER = NOON + timedelta(minutes=10)


def a_join_key(phase=None, *, own=False, serial=1, overlap="10m"):
    """A join key whose second key signs, or that is in a phase of its first replacement."""
    spec = {"overlap": overlap, "serial": serial, **({"secretRef": {"name": "jk"}} if own else {})}
    status = {"fingerprint": OLD, "keyVersion": 1, "serial": 1}
    if phase is not None:
        signs, accepted, version = (OLD, NEW, 1) if phase == "Publishing" else (NEW, OLD, 2)
        replacement = {"phase": phase, "fingerprint": accepted, "until": rfc3339(LATER)}
        status = {"fingerprint": signs, "keyVersion": version, "serial": 1, "replacement": replacement}
    return JoinKey.model_validate({**raw_join_key(**spec), "status": status})


PUBLISHING, RETIRING = "Publishing", "Retiring"
CASES = [
    pytest.param(a_join_key(), None, NOON, None, id="a generated key stays"),
    pytest.param(a_join_key(serial=2), None, NOON, Publish(None), id="a raised serial asks for a key"),
    pytest.param(a_join_key(own=True), OLD, NOON, None, id="the user's key is the one that signs"),
    pytest.param(a_join_key(own=True), NEW, NOON, Publish(NEW), id="another key of the user"),
    pytest.param(a_join_key(own=True), None, NOON, None, id="the user's Secret is gone"),
    pytest.param(a_join_key(own=True, serial=2), None, NOON, None, id="a serial is nothing to a key of the user"),
    pytest.param(a_join_key(PUBLISHING), None, NOON, None, id="published, and too early to sign"),
    pytest.param(a_join_key(PUBLISHING), None, LATER - timedelta(seconds=1), None, id="one second too early"),
    pytest.param(a_join_key(PUBLISHING), None, LATER, Switch(), id="published for the overlap"),
    pytest.param(a_join_key(PUBLISHING, overlap="0s"), None, NOON, Switch(), id="published, and no overlap any more"),
    pytest.param(a_join_key(PUBLISHING, serial=2), None, LATER, Publish(None), id="a further serial comes first"),
    pytest.param(a_join_key(PUBLISHING, own=True), NEW, NOON, None, id="the user's key is published"),
    pytest.param(a_join_key(PUBLISHING, own=True), NEWER, NOON, Publish(NEWER), id="a further key of the user"),
    pytest.param(a_join_key(PUBLISHING, own=True), OLD, LATER, Cancel(), id="the old key of the user is back"),
    pytest.param(a_join_key(PUBLISHING, own=True), None, LATER, Switch(), id="published, and the Secret is gone"),
    pytest.param(a_join_key(RETIRING), None, NOON, None, id="the old key is still accepted"),
    pytest.param(a_join_key(RETIRING), None, LATER, Retire(), id="accepted for the overlap"),
    pytest.param(a_join_key(RETIRING, overlap="0s"), None, NOON, Retire(), id="accepted, and no overlap any more"),
    pytest.param(a_join_key(RETIRING, serial=2), None, NOON, None, id="a further serial waits"),
    pytest.param(a_join_key(RETIRING, own=True), NEWER, NOON, None, id="a further key of the user waits"),
    pytest.param(a_join_key(RETIRING, own=True), OLD, NOON, None, id="so does the old one"),
]


@pytest.mark.parametrize(("join_key", "provided", "now", "due"), CASES)
def test_the_change_that_is_due(join_key, provided, now, due):
    assert change_due(join_key, provided=provided, now=now) == due


def test_each_key_keeps_its_version_while_it_moves_from_place_to_place():
    old, new = Held(OLD, 1), Held(NEW, 2)

    assert present_picture(a_join_key()) == Picture(old)
    assert next_picture(a_join_key(), Publish(NEW), NEW) == Picture(old, new)
    assert present_picture(a_join_key(PUBLISHING)) == Picture(old, new)
    assert next_picture(a_join_key(PUBLISHING), Switch(), "") == Picture(new, old)
    assert present_picture(a_join_key(RETIRING)) == Picture(new, old)
    assert next_picture(a_join_key(RETIRING), Retire(), "") == Picture(new)
    assert next_picture(a_join_key(PUBLISHING, overlap="0s"), Switch(), "") == Picture(new)
    assert next_picture(a_join_key(PUBLISHING), Cancel(), "") == Picture(old)


def test_a_phase_is_never_shorter_than_the_overlap():
    join_key, picture = a_join_key(), Picture(Held(OLD, 1), Held(NEW, 2))
    for microseconds in (0, 1, 999_999):
        now = NOON + timedelta(microseconds=microseconds)

        until = replaced_status(join_key, picture, Publish(NEW), bits=256, now=now)["replacement"].until

        assert timedelta(minutes=10) <= until - now < timedelta(minutes=10, seconds=1)
        assert until.microsecond == 0
