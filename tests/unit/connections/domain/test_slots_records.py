"""What a new token is, and which tokens stay on record in which order: R22, R33, S2, S24."""

from datetime import timedelta

import pytest

from tallystick.connections.api.connection_configuration import ConnectionConfiguration, ConnectionToken
from tallystick.connections.domain import slots
from tallystick.connections.domain.slots import new_tokens, on_record
from tallystick.connections.domain.tokens import connection_claims, connection_token_id
from tallystick.tokens.claims import digest
from tests.builders import ISSUER, OTHER_UID, UID
from tests.fakes import NOON
from tests.worlds.configurations import HOUR, PENDING, a_configuration, a_revoked, a_token


def issue(configuration: ConnectionConfiguration, *names: str, now=NOON) -> tuple[ConnectionToken, ...]:
    return new_tokens(configuration, names, key_id="k1", issuer=ISSUER, now=now)


# What a new token is.


def test_a_new_token_is_on_record_with_all_that_it_will_say():
    configuration = a_configuration("a", ends=HOUR, last=6)

    (token,) = issue(configuration, "a", now=NOON + timedelta(milliseconds=999))

    assert token == ConnectionToken(
        slot="a",
        token_id=connection_token_id(UID, "a", 7),
        serial=7,
        key_id="k1",
        state=PENDING,
        claims_digest=digest(connection_claims(slots.claims_of(configuration, token), ISSUER)),
        issued_time=NOON,
        not_after=NOON + HOUR,
    )


def test_r22_a_new_token_has_no_end_of_its_own():
    (token,) = issue(a_configuration("a"), "a")

    claims = connection_claims(slots.claims_of(a_configuration("a"), token), ISSUER)

    assert token.not_after is None
    assert "exp" not in claims
    assert claims["jti"] == token.token_id


@pytest.mark.parametrize(
    ("last", "tokens", "expected"),
    [
        pytest.param(None, (), [1, 2], id="from 1"),
        pytest.param(2, (a_token("a", 2),), [3, 4], id="on from the last"),
        pytest.param(9, (a_token("a", 2),), [10, 11], id="after a plan of which nothing is left"),
        pytest.param(9, (), [10, 11], id="with nothing on record"),
    ],
)
def test_a_serial_is_never_used_again(last, tokens, expected):
    made = issue(a_configuration("x", "y", tokens=tokens, last=last), "x", "y")

    assert [(token.slot, token.serial) for token in made] == list(zip("xy", expected, strict=True))


def test_s2_s24_an_id_is_derived_from_object_slot_and_serial():
    made = [
        *issue(a_configuration("a", "b"), "a", "b"),
        *issue(a_configuration("a", last=1), "a"),
        *issue(a_configuration("a", uid=OTHER_UID), "a"),
    ]

    assert len({token.token_id for token in made}) == 4
    assert issue(a_configuration("a"), "a") == issue(a_configuration("a"), "a")


# What is shown.


def test_r33_the_last_three_that_were_revoked_are_shown_after_those_that_are_alive():
    revoked = [a_revoked("r", serial, at=-serial * HOUR) for serial in range(1, 6)]

    shown = on_record([revoked[4], a_token("a", 7), revoked[1], revoked[0], a_token("b", 8, PENDING), *revoked[2:4]])

    assert [token.serial for token in shown] == [8, 7, 1, 2, 3]


def test_r33_of_those_revoked_in_the_same_second_the_newer_ones_are_shown():
    shown = on_record([a_revoked("r", serial) for serial in (1, 4, 2, 3)])

    assert [token.serial for token in shown] == [4, 3, 2]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_r33_as_many_as_there_are_up_to_three(count):
    assert len(on_record([a_revoked("r", serial) for serial in range(1, count + 1)])) == count


def test_what_is_on_record_is_in_order_already():
    shown = on_record([a_token("a", 7), *(a_revoked("r", serial) for serial in range(1, 6))])

    assert on_record(shown) == shown


def test_tokens_are_listed_newest_first():
    configuration = a_configuration(
        "a", "b", tokens=(a_token("a", 1), a_revoked("r", 3), a_token("b", 4, PENDING), a_token("c", 2))
    )

    assert [token.serial for token in slots.unrevoked_tokens(configuration)] == [4, 2, 1]
    assert [token.serial for token in slots.active_tokens(configuration)] == [2, 1]
    assert slots.slot_names(configuration) == ["a", "b"]
