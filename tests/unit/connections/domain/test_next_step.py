"""The next step for a ConnectionConfiguration: the plan, the Secret, the status, in this order and no other."""

from datetime import timedelta

import pytest

from tallystick.connections.domain.next_step import (
    Activate,
    Done,
    Input,
    RecordPlan,
    RemoveSecret,
    WriteSecret,
    next_step,
)
from tallystick.connections.domain.slots import plan
from tallystick.objects.held_secrets import HeldSecret
from tallystick.schema.times import rfc3339
from tests.builders import UID
from tests.fakes import NOON
from tests.worlds.connection_world import NAMESPACE, SECRET, a_connection, a_token, slots

INTACT, OTHER = b"as it must be", b"something else"
HOUR = timedelta(hours=1)


def held(digest):
    return None if digest is None else HeldSecret(NAMESPACE, SECRET, "s1", "7", UID, digest, immutable=False)


def step(*tokens, secret=INTACT, expected=INTACT, last=1, vacant=(), now=NOON, **changes):
    status = {"lastSerial": last, "tokens": list(tokens), "vacantSlots": list(vacant)}
    status = {key: value for key, value in status.items() if value is not None}
    configuration = a_connection(status=status, **changes)
    return next_step(Input(configuration, plan(configuration, now), held(secret), expected))


def test_a_new_object_is_planned_first():
    found = step(last=None, secret=None)

    assert isinstance(found, RecordPlan)
    assert found.plan.issue == ("default",)


@pytest.mark.parametrize(
    "secret", [pytest.param(None, id="none"), pytest.param(OTHER, id="another"), pytest.param(INTACT, id="intact")]
)
def test_what_is_planned_is_written_into_the_secret_before_it_counts(secret):
    found = step(a_token(state="Pending"), secret=secret)

    assert isinstance(found, Activate if secret == INTACT else WriteSecret)


def test_what_counts_and_is_in_the_secret_is_left_alone():
    assert isinstance(step(a_token()), Done)


@pytest.mark.parametrize("secret", [None, OTHER])
def test_s22_a_secret_that_is_gone_or_changed_is_made_again(secret):
    assert isinstance(step(a_token(), secret=secret), WriteSecret)


def test_a_secret_that_cannot_be_computed_is_looked_at_more_closely():
    assert isinstance(step(a_token(), expected=None), WriteSecret)


@pytest.mark.parametrize("secret", [None, OTHER, INTACT])
def test_what_ends_is_recorded_before_the_secret_is_touched(secret):
    found = step(a_token("new", 2), a_token("old", 1), secret=secret, last=2, tokens=slots("new"))

    assert isinstance(found, RecordPlan)
    assert [token.slot for token in found.plan.revoked] == ["old"]


def test_the_secret_is_emptied_when_all_has_ended():
    over = {"licenseExpiresAt": rfc3339(NOON)}

    assert isinstance(step(a_token(state="Revoked"), secret=OTHER, vacant=["default"], **over), WriteSecret)
    assert isinstance(step(a_token(state="Revoked"), vacant=["default"], **over), Done)


def test_an_object_that_never_had_a_token_gets_no_secret():
    over = {"licenseExpiresAt": rfc3339(NOON - HOUR)}

    assert isinstance(step(last=None, secret=None, vacant=["default"], **over), Done)


def test_the_end_of_a_license_that_was_moved_is_recorded():
    token = a_token(notAfter=rfc3339(NOON + HOUR))

    assert isinstance(step(token, licenseExpiresAt=rfc3339(NOON + 2 * HOUR)), RecordPlan)
    assert isinstance(step(token), RecordPlan)
    assert isinstance(step(token, licenseExpiresAt=rfc3339(NOON + HOUR)), Done)


@pytest.mark.parametrize("secret", [None, OTHER])
def test_r36_an_object_that_is_being_deleted_revokes_its_tokens_and_then_loses_its_secret(secret):
    assert isinstance(step(a_token(), secret=secret, deleting=True), RecordPlan)
    ended = step(a_token(state="Revoked"), secret=secret, deleting=True)
    assert isinstance(ended, RemoveSecret if secret is not None else Done)


def test_a_record_in_another_order_is_put_in_order():
    old, new = a_token("old", 1), a_token("new", 2)
    both = slots("old", "new")

    assert isinstance(step(old, new, last=2, tokens=both), RecordPlan)
    assert isinstance(step(new, old, last=2, tokens=both), Done)
