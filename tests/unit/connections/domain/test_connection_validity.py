"""What the exchange makes of a connection token, by its object: R22, R33, S2, S7, S24."""

import pytest

from tallystick.connections.api.connection_configuration import ConnectionConfiguration
from tallystick.connections.domain.tokens import connection_token_id
from tallystick.connections.domain.validity import why_connection_invalid
from tallystick.tokens.validity import Invalid
from tests.builders import OTHER_UID, UID
from tests.fakes import NOON
from tests.worlds.configurations import HOUR, PENDING, SECOND, YEAR, a_configuration, a_revoked, a_token


def problem(
    configuration: ConnectionConfiguration, *, slot="a", serial=1, now=NOON, **presented: str
) -> Invalid | None:
    facts = {"uid": UID, "token_id": connection_token_id(presented.get("uid", UID), slot, serial)} | presented
    return why_connection_invalid(configuration, serial=serial, now=now, **facts)


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        pytest.param(a_configuration("a", tokens=(a_token("a", 1),)), None, id="Active"),
        pytest.param(a_configuration("a", "b", tokens=(a_token("b", 2), a_token("a", 1))), None, id="the older of two"),
        pytest.param(a_configuration("a", tokens=(a_token("a", 1, PENDING),)), None, id="Pending"),
        pytest.param(a_configuration("a", tokens=(a_revoked("a", 1),)), Invalid.REVOKED, id="Revoked"),
        pytest.param(
            a_configuration("b", tokens=(a_token("b", 2), a_token("a", 1))), Invalid.REVOKED, id="S7 its slot is gone"
        ),
        pytest.param(
            a_configuration("b", tokens=(a_token("b", 2), a_token("a", 1, PENDING))),
            Invalid.REVOKED,
            id="S7 its slot is gone before it was Active",
        ),
        pytest.param(
            a_configuration("a", tokens=(a_token("a", 1),), deleting=True), Invalid.REVOKED, id="S7 a deletion"
        ),
        pytest.param(
            a_configuration("a", tokens=(a_token("a", 1),), ends=0 * SECOND),
            Invalid.EXPIRED,
            id="S7 the licence is over",
        ),
        pytest.param(a_configuration("x", tokens=(a_token("a", 1),)), None, id="S7 the last one is kept"),
        pytest.param(
            a_configuration("x", tokens=(a_token("b", 2), a_token("a", 1))), Invalid.REVOKED, id="S7 and only the last"
        ),
        pytest.param(
            a_configuration("a", tokens=(a_revoked("a", 1),), ends=-HOUR), Invalid.REVOKED, id="revoked, then expired"
        ),
        pytest.param(
            a_configuration("b", tokens=(a_token("b", 2), a_token("a", 1)), ends=-HOUR),
            Invalid.EXPIRED,
            id="expired, whatever its slot",
        ),
        pytest.param(a_configuration("a"), Invalid.UNKNOWN, id="not on record"),
        pytest.param(
            a_configuration("a", tokens=(a_token("a", 2),)), Invalid.UNKNOWN, id="R33 one that has left the record"
        ),
        pytest.param(
            a_configuration("a", tokens=(a_token("a", 1),), uid=OTHER_UID), Invalid.UNKNOWN, id="S24 of another object"
        ),
    ],
)
def test_a_connection_token_of_serial_1_is_judged_by_its_object(configuration, expected):
    assert problem(configuration) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(-1, None), (0, Invalid.EXPIRED), (1, Invalid.EXPIRED)])
@pytest.mark.parametrize(
    ("asked", "recorded"),
    [(HOUR, None), (HOUR, HOUR), (HOUR, YEAR), (YEAR, HOUR), (None, HOUR)],
    ids=["not recorded yet", "recorded", "moved earlier", "moved later", "removed"],
)
def test_a_connection_token_ends_at_the_second_of_the_earlier_end(asked, recorded, seconds, expected):
    token = a_token("a", 1, not_after=NOON + recorded if recorded else None)

    assert problem(a_configuration("a", tokens=(token,), ends=asked), now=NOON + HOUR + seconds * SECOND) == expected


def test_r22_without_a_license_a_connection_token_is_good_for_years():
    assert problem(a_configuration("a", tokens=(a_token("a", 1),)), now=NOON + 50 * YEAR) is None


@pytest.mark.parametrize(
    "presented",
    [
        pytest.param({"token_id": "forged"}, id="another jti"),
        pytest.param({"slot": "b"}, id="the jti of another slot"),
        pytest.param({"uid": OTHER_UID}, id="S24 another uid"),
        pytest.param({"uid": OTHER_UID, "token_id": connection_token_id(UID, "a", 1)}, id="another uid, our jti"),
        pytest.param({"serial": 2, "token_id": connection_token_id(UID, "a", 1)}, id="another serial, our jti"),
    ],
)
def test_a_connection_token_that_is_not_of_this_object_is_unknown(presented):
    assert problem(a_configuration("a", tokens=(a_token("a", 1),)), **presented) == Invalid.UNKNOWN


def test_s2_an_id_from_the_status_makes_no_connection_token_valid():
    configuration = a_configuration("a", tokens=(a_token("a", 1, token_id="forged"),))

    assert problem(configuration, token_id="forged") == Invalid.UNKNOWN
