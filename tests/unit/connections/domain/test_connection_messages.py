"""What a ConnectionConfiguration says of itself, word by word: people read it, and do what it says (R21, R23, R32)."""

from datetime import timedelta

import pytest

from tallystick.connections.domain.heartbeat_records import HeartbeatRecords, LastSeen, summarize
from tallystick.connections.domain.messages import (
    conditions_of,
    license_text,
    mismatch_text,
    readiness_of,
    still_in_use_text,
)
from tallystick.connections.domain.reminders import reminder
from tallystick.objects.conditions import Progress
from tallystick.schema.meta import Condition
from tallystick.schema.times import rfc3339
from tests.fakes import NOON
from tests.worlds.connection_world import a_connection, a_token, slots

NO_ONE = summarize(HeartbeatRecords(), NOON)
OVER = rfc3339(NOON)
RETIRED = rfc3339(NOON - timedelta(days=400))


def connection(*tokens, last=9, **changes):
    status = {"tokens": list(tokens), **({"lastSerial": last} if last else {})}
    return a_connection(status=status, **changes)


def users(**serials):
    seen = int(NOON.timestamp())
    return summarize(HeartbeatRecords({name: LastSeen(serial, seen) for name, serial in serials.items()}), NOON)


@pytest.mark.parametrize(
    ("found", "progress", "reason", "message"),
    [
        pytest.param(
            connection(a_token()),
            Progress.READY,
            "Issued",
            "Secret edge/dc-west-connection-token holds the token of slot default; to issue a new one, add a slot "
            "to spec.tokens",
            id="one",
        ),
        pytest.param(
            connection(a_token("new", 2), a_token("old", 1)),
            Progress.READY,
            "Issued",
            "2 tokens are active. Register the token of slot new (Secret edge/dc-west-connection-token, key token) on "
            "all instances. Then remove slot old from spec.tokens to revoke the old token. No instance reports that it "
            "uses it.",
            id="two",
        ),
        pytest.param(
            connection(),
            Progress.RECONCILING,
            "Issuing",
            "the controller is issuing a token",
            id="none yet",
        ),
        pytest.param(
            connection(a_token("b", 2, state="Pending"), a_token("a", 1, state="Pending")),
            Progress.RECONCILING,
            "Issuing",
            "the controller is issuing the token of slots a, b",
            id="two are being issued",
        ),
        pytest.param(
            connection(a_token("b", 2, state="Pending"), a_token("a", 1)),
            Progress.RECONCILING,
            "Issuing",
            "the controller is issuing the token of slot b",
            id="one is being issued",
        ),
        pytest.param(
            connection(a_token(state="Revoked"), licenseExpiresAt=OVER),
            Progress.STALLED,
            "LicenseExpired",
            "license expired at 2030-01-01T12:00:00Z; all tokens are revoked; to issue a new one, set a later "
            "spec.licenseExpiresAt",
            id="R35 the licence is over",
        ),
        pytest.param(
            connection(last=None, licenseExpiresAt=OVER),
            Progress.STALLED,
            "LicenseExpired",
            "license expired at 2030-01-01T12:00:00Z; no token was issued; to issue a new one, set a later "
            "spec.licenseExpiresAt",
            id="R35 it was over from the start",
        ),
        pytest.param(
            connection(a_token(state="Revoked"), deleting=True, licenseExpiresAt=OVER),
            Progress.RECONCILING,
            "ConfigurationDeleted",
            "the object is being deleted; all its tokens are revoked",
            id="R36 the object goes",
        ),
        pytest.param(
            connection(a_token(), secretName="trust"),
            Progress.READY,
            "Issued",
            "Secret edge/trust holds the token of slot default; to issue a new one, add a slot to spec.tokens",
            id="a Secret of another name",
        ),
    ],
)
def test_an_object_says_what_it_is_and_what_to_do(found, progress, reason, message):
    readiness = readiness_of(found, NO_ONE, NOON)

    assert (readiness.progress, readiness.reason, readiness.message) == (progress, reason, message)


@pytest.mark.parametrize(
    ("there", "reported"),
    [
        pytest.param(users(a=1), "1 instance still uses it: a.", id="one"),
        pytest.param(users(b=1, a=1, c=2), "2 instances still use it: a, b.", id="two"),
        pytest.param(
            users(**{f"i{number}": 1 for number in range(7)}),
            "7 instances still use it: i0, i1, i2, i3, i4 and 2 more.",
            id="many",
        ),
        pytest.param(users(a=2), "No instance reports that it uses it.", id="none"),
    ],
)
def test_r23_an_instance_that_still_uses_the_old_token_is_named(there, reported):
    message = readiness_of(connection(a_token("new", 2), a_token("old", 1)), there, NOON).message

    assert message.endswith(f"to revoke the old token. {reported}")


def test_r23_r39_the_texts_of_events():
    assert still_in_use_text("id-1", ("a",)) == "1 instance last used token id-1: a"
    assert still_in_use_text("id-1", ("a", "b")) == "2 instances last used token id-1: a, b"
    assert mismatch_text("id-1", "Kubernetes", "ReverseProxy") == (
        "token id-1 was issued for deployment type Kubernetes and cannot be used in ReverseProxy"
    )


def test_the_text_of_a_license_that_was_taken_out_again_names_no_date():
    assert license_text(connection(a_token(state="Revoked"))).startswith("license expired; all tokens are revoked;")


def said(configuration, there=NO_ONE):
    found = conditions_of(configuration, there, reminder(configuration, NOON), NOON)
    return {one.type: (one.status, one.reason, one.message) for one in found}


def test_a_young_token_without_a_license_has_no_further_condition():
    assert said(connection(a_token())) == {}


@pytest.mark.parametrize("over", [False, True])
def test_r35_a_license_has_a_condition_whether_valid_or_not(over):
    end = rfc3339(NOON + timedelta(0 if over else 1))

    status, reason, _ = said(connection(a_token(), licenseExpiresAt=end))["LicenseValid"]

    assert (status, reason) == (not over, "LicenseExpired" if over else "LicenseValid")


def test_r19_r20_r23_all_conditions_may_be_true_at_once():
    configuration = connection(a_token("new", 2, issuedTime=RETIRED), licenseExpiresAt=rfc3339(NOON + timedelta(1)))

    found = said(configuration, users(a=1, b=2))

    assert {kind: status for kind, (status, _, _) in found.items()} == {
        "LicenseValid": True,
        "RotationRecommended": True,
        "RotationOverdue": True,
        "InstancesCutOff": True,
    }
    assert found["InstancesCutOff"][2] == (
        "1 instance last used a revoked token: a; register the token of slot new on them"
    )


def test_no_instance_is_cut_off_where_no_token_is_active_to_register():
    assert "InstancesCutOff" not in said(connection(a_token(state="Revoked")), users(a=1))


def test_whatever_is_said_fits_into_a_condition():
    longest = "s" * 63
    names = {f"{'i' * 60}{number:04}": 1 for number in range(1000)}
    both = (a_token("n" * 63, 2, issuedTime=RETIRED), a_token(longest, 1))
    configuration = connection(*both, secretName="x" * 253, tokens=slots("n" * 63, longest))

    there = users(**names)
    texts = [readiness_of(configuration, there, NOON).message]
    texts += [message for _, _, message in said(connection(both[0]), there).values()]

    for text in texts:
        assert len(text) <= 1024
        Condition(type="Ready", status="True", reason="Issued", message=text, last_transition_time=NOON)
