"""Which tokens end, which stay and which slots get one: R15-R17, R22, R24, R28, R30, R33-R37, S2, S7, S24."""

from datetime import timedelta
from typing import Any

import pytest

from tallystick.api.connection_configuration import (
    ConnectionConfiguration,
    ConnectionToken,
    ConnectionTokenState,
    RevocationReason,
)
from tallystick.api.meta import API_VERSION
from tallystick.domain import slots
from tallystick.domain.claims import connection_claims, digest
from tallystick.domain.names import connection_token_id
from tallystick.domain.slots import Plan, minted, on_record, plan
from tallystick.domain.times import rfc3339
from tallystick.domain.validity import Invalid, why_connection_invalid
from tests.builders import ISSUER, OTHER_UID, UID
from tests.fakes import NOON

Json = dict[str, Any]

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)
PENDING, ACTIVE, REVOKED = ConnectionTokenState
MANUAL, LICENSE_EXPIRED, DELETED = RevocationReason


def a_configuration(
    *names: str,
    tokens: tuple[ConnectionToken, ...] = (),
    ends: timedelta | None = None,
    deleting: bool = False,
    vacant: tuple[str, ...] = (),
    last: int | None = None,
    uid: str = UID,
) -> ConnectionConfiguration:
    """With these slots and tokens. `ends` is when the licence ends, after noon."""
    meta: Json = {"name": "dc-west", "namespace": "edge", "uid": uid, "generation": 1}
    spec: Json = {"deploymentType": "Kubernetes", "tokens": [{"name": name} for name in names]}
    body: Json = {"apiVersion": API_VERSION, "kind": "ConnectionConfiguration", "metadata": meta, "spec": spec}
    if deleting:
        meta["deletionTimestamp"] = rfc3339(NOON)
    if ends is not None:
        spec["licenseExpiresAt"] = rfc3339(NOON + ends)
    body["status"] = {
        "tokens": [token.to_json() for token in tokens],
        "vacantSlots": list(vacant),
        "lastSerial": last if last is not None else max((token.serial for token in tokens), default=None),
    }
    return ConnectionConfiguration.model_validate(body)


def a_token(slot: str, serial: int, state: ConnectionTokenState = ACTIVE, **more: Any) -> ConnectionToken:
    facts: Json = {
        "slot": slot,
        "serial": serial,
        "state": state,
        "token_id": connection_token_id(UID, slot, serial),
        "key_id": "k1",
        "claims_digest": "d1",
        "issued_time": NOON - HOUR,
    }
    return ConnectionToken(**(facts | more))


def a_revoked(slot: str, serial: int, *, at: timedelta = -SECOND, reason: RevocationReason = MANUAL) -> ConnectionToken:
    return a_token(slot, serial, REVOKED, revoked_time=NOON + at, reason=reason)


def mint(configuration: ConnectionConfiguration, *names: str, now=NOON) -> tuple[ConnectionToken, ...]:
    return minted(configuration, names, key_id="k1", issuer=ISSUER, now=now)


def ended(made: Plan) -> dict[str, RevocationReason | None]:
    """Why each of the tokens ends that end now, by slot."""
    assert all(token.state is REVOKED for token in made.ended)
    return {token.slot: token.reason for token in made.ended}


def alive(made: Plan) -> list[str]:
    return [token.slot for token in made.tokens if token.state is not REVOKED]


def rests(configuration: ConnectionConfiguration, now=NOON) -> bool:
    """Whether there is nothing to write."""
    made, status = plan(configuration, now), configuration.status
    return (list(made.tokens), made.ended, made.mint, list(made.vacant)) == (
        status.tokens,
        (),
        (),
        status.vacant_slots,
    )


# What is to be made.


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        pytest.param(a_configuration("default"), ("default",), id="R15 a new object gets its first token"),
        pytest.param(a_configuration("new", "old"), ("new", "old"), id="both of a new object, in the spec's order"),
        pytest.param(
            a_configuration("a", "b", tokens=(a_token("a", 1),)), ("b",), id="R16 the slot that was added, no other"
        ),
        pytest.param(
            a_configuration("b", "a", tokens=(a_token("a", 1),)), ("b",), id="R16 wherever in the list it was added"
        ),
        pytest.param(
            a_configuration("a", "b", tokens=(a_token("a", 1, PENDING),)),
            ("b",),
            id="a planned one is not planned anew",
        ),
        pytest.param(
            a_configuration("a", "b", tokens=(a_token("b", 3), a_revoked("a", 2))),
            ("a",),
            id="a name that comes back after its token was revoked gets a new token",
        ),
        pytest.param(
            a_configuration("a", "b", "c", tokens=(a_token("a", 1), a_token("b", 2))),
            (),
            id="R24 two are alive: no third, whatever let such a spec pass",
        ),
        pytest.param(
            a_configuration("a", "b", "c", tokens=(a_token("b", 1),)), ("a",), id="R24 one is alive: one place is left"
        ),
        pytest.param(a_configuration("a", "b", "c"), ("a", "b"), id="R24 none is alive: two places"),
        pytest.param(
            a_configuration("a", "c", tokens=(a_token("b", 2), a_token("a", 1))),
            ("c",),
            id="R24 the place of one that ends now is free at once",
        ),
        pytest.param(a_configuration("a", deleting=True), (), id="nothing for an object that goes"),
        pytest.param(a_configuration("a", ends=SECOND), ("a",), id="in the last second of a licence"),
        pytest.param(a_configuration("a", ends=0 * SECOND), (), id="nothing from the licence's end on"),
    ],
)
def test_slots_without_a_token_get_one(configuration, expected):
    assert plan(configuration, NOON).mint == expected


@pytest.mark.parametrize(
    "configuration",
    [
        pytest.param(a_configuration("a", tokens=(a_token("a", 1),)), id="one Active"),
        pytest.param(a_configuration("a", "b", tokens=(a_token("b", 2), a_token("a", 1))), id="two Active"),
        pytest.param(a_configuration("a", tokens=(a_token("a", 1, PENDING),)), id="one Pending"),
        pytest.param(
            a_configuration("a", tokens=(a_token("a", 2), a_revoked("a", 1))), id="one beside its predecessor"
        ),
        pytest.param(
            a_configuration("a", "b", tokens=(a_token("b", 2),), vacant=("a",)), id="one beside a vacant slot"
        ),
        pytest.param(
            a_configuration("a", tokens=(a_token("a", 1, not_after=NOON + HOUR),), ends=HOUR), id="a licence on record"
        ),
        pytest.param(
            a_configuration("a", tokens=(a_revoked("a", 1, reason=LICENSE_EXPIRED),), ends=-HOUR, vacant=("a",)),
            id="a licence that is over, on record",
        ),
        pytest.param(
            a_configuration("a", tokens=(a_revoked("a", 1, reason=DELETED),), deleting=True), id="a deletion on record"
        ),
    ],
)
def test_what_is_as_it_should_be_rests(configuration):
    assert rests(configuration)


def test_r22_age_ends_nothing():
    assert rests(a_configuration("a", "b", tokens=(a_token("b", 2), a_token("a", 1))), now=NOON + 50 * YEAR)


# What ends.


def test_r17_r30_r34_the_token_of_a_removed_slot_ends_and_no_other():
    made = plan(a_configuration("a", tokens=(a_token("b", 2), a_token("a", 1))), NOON + timedelta(milliseconds=999))

    assert ended(made) == {"b": MANUAL}
    assert made.ended[0].revoked_time == NOON, "a whole second"
    assert alive(made) == ["a"]
    assert (made.mint, made.vacant) == ((), ())


def test_r28_the_newest_may_go_first_and_the_one_before_is_to_be_copied_again():
    both = (a_token("new", 2), a_token("old", 1))

    before = slots.active_tokens(a_configuration("old", "new", tokens=both))
    after = slots.active_tokens(a_configuration("old", tokens=plan(a_configuration("old", tokens=both), NOON).tokens))

    assert [token.slot for token in before] == ["new", "old"]
    assert [token.slot for token in after] == ["old"]


def test_one_edit_may_revoke_one_and_generate_another():
    made = plan(a_configuration("a", "c", tokens=(a_token("b", 2), a_token("a", 1))), NOON)

    assert (ended(made), alive(made), made.mint) == ({"b": MANUAL}, ["a"], ("c",))


def test_a_token_that_nobody_has_yet_ends_with_its_slot_too():
    made = plan(a_configuration("a", tokens=(a_token("b", 2, PENDING), a_token("a", 1))), NOON)

    assert (ended(made), alive(made)) == ({"b": MANUAL}, ["a"])


@pytest.mark.parametrize("state", [PENDING, ACTIVE])
def test_r36_deletion_ends_every_token(state):
    made = plan(a_configuration("a", "b", tokens=(a_token("b", 2, state), a_token("a", 1)), deleting=True), NOON)

    assert (ended(made), alive(made), made.mint) == ({"a": DELETED, "b": DELETED}, [], ())


def test_r36_deletion_is_the_reason_also_of_what_would_have_ended_anyhow():
    over = a_configuration("a", tokens=(a_token("b", 2), a_token("a", 1)), ends=-HOUR, deleting=True)

    assert ended(plan(over, NOON)) == {"a": DELETED, "b": DELETED}


def test_r35_the_end_of_the_licence_is_the_reason_also_of_one_whose_slot_is_gone():
    over = a_configuration("a", tokens=(a_token("b", 2), a_token("a", 1)), ends=-HOUR)

    assert ended(plan(over, NOON)) == {"a": LICENSE_EXPIRED, "b": LICENSE_EXPIRED}


@pytest.mark.parametrize(
    "configuration",
    [
        pytest.param(a_configuration("a"), id="in a valid object"),
        pytest.param(a_configuration("a", ends=-HOUR), id="after the licence"),
        pytest.param(a_configuration("a", deleting=True), id="in a deletion"),
        pytest.param(a_configuration("b"), id="without its slot"),
    ],
)
def test_what_was_revoked_stays_as_it_was_recorded(configuration):
    before = tuple(a_revoked("a", serial, reason=reason) for serial, reason in enumerate(RevocationReason, start=1))
    status = configuration.status.model_copy(update={"tokens": list(before), "last_serial": 3})

    made = plan(configuration.model_copy(update={"status": status}), NOON)

    assert made.tokens == before
    assert made.ended == ()


def test_r37_there_are_three_reasons():
    assert [reason.value for reason in RevocationReason] == ["Manual", "LicenseExpired", "ConfigurationDeleted"]


# The licence.


@pytest.mark.parametrize(("seconds", "over"), [(-1, False), (0, True), (1, True)])
def test_r35_all_tokens_end_at_the_very_second_of_the_licence(seconds, over):
    both = (a_token("b", 2, not_after=NOON + HOUR), a_token("a", 1, not_after=NOON + HOUR))
    configuration, now = a_configuration("a", "b", tokens=both, ends=HOUR), NOON + HOUR + seconds * SECOND

    made = plan(configuration, now)

    assert ended(made) == ({"a": LICENSE_EXPIRED, "b": LICENSE_EXPIRED} if over else {})
    assert slots.license_is_over(configuration, now) is over
    assert made.mint == ()
    assert made.vacant == (("a", "b") if over else ())


@pytest.mark.parametrize("recorded", [None, HOUR, 2 * HOUR, 3 * HOUR], ids=["none", "earlier", "same", "later"])
@pytest.mark.parametrize("asked", [None, 2 * HOUR], ids=["removed", "set"])
@pytest.mark.parametrize("state", [PENDING, ACTIVE])
def test_an_end_that_has_not_come_is_moved_wherever_the_spec_puts_it(state, asked, recorded):
    token = a_token("a", 1, state, not_after=NOON + recorded if recorded else None)

    made = plan(a_configuration("a", tokens=(token,), ends=asked), NOON)

    assert [kept.not_after for kept in made.tokens] == [NOON + asked if asked else None]
    assert made.ended == ()


@pytest.mark.parametrize("asked", [None, YEAR], ids=["removed", "moved"])
@pytest.mark.parametrize("late", [0 * SECOND, HOUR], ids=["at that second", "an hour late"])
def test_an_end_that_passed_while_the_controller_was_down_is_for_ever(late, asked):
    """The licence was renewed in time, or so it seems now; what was on record had passed all the same."""
    both = (a_token("b", 2, not_after=NOON + HOUR), a_token("a", 1, not_after=NOON + HOUR))

    made = plan(a_configuration("a", "b", tokens=both, ends=asked), NOON + HOUR + late)

    assert ended(made) == {"a": LICENSE_EXPIRED, "b": LICENSE_EXPIRED}
    assert [token.not_after for token in made.ended] == [NOON + HOUR] * 2
    assert (made.mint, made.vacant) == (("b",), ("a",)), "R35: one new token"


@pytest.mark.parametrize("ends", [None, HOUR], ids=["removed", "later"])
@pytest.mark.parametrize(("names", "expected"), [(("a",), ((), ("a",))), (("a", "b"), (("a",), ("b",)))])
def test_r35_a_renewal_issues_one_token_for_the_slot_that_came_last(names, expected, ends):
    dead = tuple(a_revoked(name, serial, reason=LICENSE_EXPIRED) for serial, name in enumerate(names, start=1))

    made = plan(a_configuration(*names, tokens=dead, ends=ends, vacant=names), NOON)

    assert (made.vacant, made.mint) == expected


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_r35_an_object_that_is_made_with_a_licence_that_is_over_gets_no_token_and_its_renewal_one(names):
    born = plan(a_configuration(*names, ends=-SECOND), NOON)
    renewed = plan(a_configuration(*names, ends=HOUR, vacant=born.vacant), NOON)

    assert (born.tokens, born.mint, born.vacant) == ((), (), names)
    assert (renewed.mint, renewed.vacant) == (names[-1:], names[:-1])


def test_r35_slots_that_are_added_after_the_end_make_the_renewal_no_larger():
    dead = (a_revoked("a", 1, reason=LICENSE_EXPIRED),)

    over = plan(a_configuration("a", "b", tokens=dead, ends=-HOUR, vacant=("a",)), NOON)
    renewed = plan(a_configuration("a", "b", tokens=dead, ends=HOUR, vacant=over.vacant), NOON)

    assert (over.mint, over.vacant) == ((), ("a", "b"))
    assert (renewed.mint, renewed.vacant) == (("b",), ("a",))


def test_a_vacant_slot_gets_its_token_once_it_is_removed_and_added_anew():
    after_renewal = {"tokens": (a_token("b", 3, issued_time=NOON),)}

    left = plan(a_configuration("a", "b", **after_renewal, vacant=("a",)), NOON)
    removed = plan(a_configuration("b", **after_renewal, vacant=("a",)), NOON)
    added = plan(a_configuration("a", "b", **after_renewal, vacant=removed.vacant), NOON)

    assert (left.mint, left.vacant) == ((), ("a",))
    assert (removed.mint, removed.vacant) == ((), ())
    assert (added.mint, added.vacant) == (("a",), ())


def test_another_slot_than_the_vacant_one_gets_its_token_at_once():
    made = plan(a_configuration("c", "b", tokens=(a_token("b", 3),), vacant=("a",)), NOON)

    assert (made.mint, made.vacant, made.ended) == (("c",), (), ())


def test_the_renewed_token_stays_where_only_a_vacant_slot_is_left_though_it_is_pending():
    made = plan(a_configuration("a", tokens=(a_token("b", 3, PENDING),), vacant=("a",)), NOON)

    assert (ended(made), made.mint, made.vacant) == ({}, (), ("a",))


@pytest.mark.parametrize(
    ("asked", "recorded", "expected"),
    [
        (None, None, None),
        (HOUR, None, HOUR),
        (None, HOUR, HOUR),
        (HOUR, YEAR, HOUR),
        (YEAR, HOUR, HOUR),
    ],
)
def test_a_token_ends_at_the_earlier_of_what_is_asked_and_what_is_on_record(asked, recorded, expected):
    token = a_token("a", 1, not_after=NOON + recorded if recorded else None)

    end = slots.end_of(token, a_configuration("a", tokens=(token,), ends=asked))

    assert end == (NOON + expected if expected else None)


# S7: nobody is locked out by a spec that should not have passed.


@pytest.mark.parametrize(
    ("names", "tokens", "kept"),
    [
        pytest.param(("x",), (a_token("a", 1),), {"a"}, id="the only one"),
        pytest.param(("x",), (a_token("b", 2), a_token("a", 1)), {"b"}, id="the last minted of two"),
        pytest.param(("x",), (a_token("a", 1), a_token("b", 2)), {"b"}, id="whatever the order on record"),
        pytest.param(("x",), (a_token("x", 3, PENDING), a_token("a", 1)), {"x", "a"}, id="until the new one is Active"),
        pytest.param(("x",), (a_token("x", 3), a_token("a", 1)), {"x"}, id="and no longer"),
        pytest.param(
            ("x",), (a_token("b", 2, PENDING), a_token("a", 1)), {"a"}, id="not one that is Pending beside it"
        ),
        pytest.param(("x",), (a_token("a", 1, PENDING),), {"a"}, id="one that is Pending, before any is Active"),
        pytest.param(("x",), (a_token("b", 2, PENDING), a_token("a", 1, PENDING)), {"b"}, id="the last of two Pending"),
        pytest.param(("x",), (a_token("x", 2, PENDING), a_token("a", 1, PENDING)), {"x"}, id="unless one has a slot"),
        pytest.param(("a",), (a_token("b", 2), a_token("a", 1)), {"a"}, id="not where a slot has an Active token"),
        pytest.param(("x",), (a_revoked("b", 2), a_token("a", 1)), {"a"}, id="never a revoked one"),
    ],
)
def test_s7_where_no_slot_has_an_active_token_the_last_minted_one_stays(names, tokens, kept):
    configuration = a_configuration(*names, tokens=tokens)

    placed = {token.slot for token in slots.live_tokens(configuration) if slots.has_place(token, configuration)}

    assert placed == kept
    assert set(alive(plan(configuration, NOON))) == kept


def test_s7_two_that_lose_their_slots_leave_one_place():
    made = plan(a_configuration("x", "y", tokens=(a_token("b", 2), a_token("a", 1))), NOON)

    assert (ended(made), alive(made), made.mint) == ({"a": MANUAL}, ["b"], ("x",))


# What a new token is.


def test_a_new_token_is_on_record_with_all_that_it_will_say():
    configuration = a_configuration("a", ends=HOUR, last=6)

    (token,) = mint(configuration, "a", now=NOON + timedelta(milliseconds=999))

    assert token == ConnectionToken(
        slot="a",
        token_id=connection_token_id(UID, "a", 7),
        serial=7,
        key_id="k1",
        state=PENDING,
        claims_digest=digest(connection_claims(slots.grant_of(configuration, token), ISSUER)),
        issued_time=NOON,
        not_after=NOON + HOUR,
    )


def test_r22_a_new_token_has_no_end_of_its_own():
    (token,) = mint(a_configuration("a"), "a")

    claims = connection_claims(slots.grant_of(a_configuration("a"), token), ISSUER)

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
    made = mint(a_configuration("x", "y", tokens=tokens, last=last), "x", "y")

    assert [(token.slot, token.serial) for token in made] == list(zip("xy", expected, strict=True))


def test_s2_s24_an_id_is_derived_from_object_slot_and_serial():
    made = [
        *mint(a_configuration("a", "b"), "a", "b"),
        *mint(a_configuration("a", last=1), "a"),
        *mint(a_configuration("a", uid=OTHER_UID), "a"),
    ]

    assert len({token.token_id for token in made}) == 4
    assert mint(a_configuration("a"), "a") == mint(a_configuration("a"), "a")


def test_the_same_object_and_time_give_the_same_plan():
    configuration = a_configuration("a", "c", tokens=(a_token("b", 2), a_token("a", 1)), ends=HOUR)

    assert plan(configuration, NOON) == plan(configuration, NOON)


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


def test_tokens_are_told_newest_first():
    configuration = a_configuration(
        "a", "b", tokens=(a_token("a", 1), a_revoked("r", 3), a_token("b", 4, PENDING), a_token("c", 2))
    )

    assert [token.serial for token in slots.live_tokens(configuration)] == [4, 2, 1]
    assert [token.serial for token in slots.active_tokens(configuration)] == [2, 1]
    assert slots.slot_names(configuration) == ["a", "b"]


# What the exchange makes of a token.


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


def test_r22_without_a_licence_a_connection_token_is_good_for_years():
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
