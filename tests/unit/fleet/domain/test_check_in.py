"""Each answer to a check-in, and to an enrollment, by the object that it depends on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick.crypto.profiles import Profile
from tallystick.fleet.domain import check_in, enrolling
from tallystick.fleet.domain.check_in import Nothing, Record, Refusal, Refuse, Removed, Unavailable
from tallystick.fleet.domain.copies import DEVICE, copy_claims, copy_id, device_name, keys_in_use
from tallystick.fleet.domain.enrolling import Answer, Create, OfferCopy, ReadAgain, Retry, TakePlace
from tallystick.fleet.domain.enrolling import Refusal as Rejection
from tallystick.fleet.domain.enrolling import Refuse as Reject
from tallystick.fleet.domain.facts import DeviceFacts, Enrolling, Failure, Offer, Target
from tallystick.pairing.domain.enrollment_values import value_id
from tests.builders import ISSUER, OTHER_THUMBPRINT, THUMBPRINT, UID
from tests.fakes import NOON
from tests.worlds.rotating import a_device, a_target

OFFER = Offer(3, "key-3", NOON, "rot-2")
MOVED = {"generation": 2, "key_id": "key-2"}
DISK_FULL = Failure(3, "DiskFull", "no space left", NOON)
A_YEAR_AGO = NOON - timedelta(days=365)


def presented(generation: int = 1, **changes: object) -> check_in.Presented:
    device = a_device(1)
    made = check_in.Presented(copy_id(device.uid, generation), device.uid, generation, UID, THUMBPRINT, THUMBPRINT)
    return replace(made, **changes)  # type: ignore[arg-type]  # the fields of the test


@pytest.mark.parametrize(
    ("copy", "device", "target", "decision"),
    [
        pytest.param({}, {}, {}, Nothing(touch=False), id="idle"),
        pytest.param({}, {"checked_in": False}, {}, Nothing(touch=True), id="the first check-in"),
        pytest.param({}, {"last_seen": A_YEAR_AGO}, {}, Nothing(touch=True), id="not seen for long"),
        pytest.param({"proved_key": None}, {}, {}, Refuse(Refusal.NOT_PROVED_KEY), id="a copy without its key"),
        pytest.param({"proved_key": OTHER_THUMBPRINT}, {}, {}, Refuse(Refusal.NOT_PROVED_KEY), id="another key"),
        pytest.param({}, None, {}, Removed(), id="the Device is gone"),
        pytest.param({}, {"deleting": True}, {}, Removed(), id="the Device is being deleted"),
        pytest.param({}, {"uid": UID}, {}, Removed(), id="a Device made anew"),
        pytest.param({}, None, None, Unavailable(), id="both are gone, as in a restore"),
        pytest.param({}, {}, {"uid": a_device(2).uid}, Unavailable(), id="a PairingToken made anew"),
        pytest.param({}, {"revoked": True}, {}, Refuse(Refusal.DEVICE_REVOKED), id="the Device is revoked"),
        pytest.param({}, {}, {"revoked": True}, Refuse(Refusal.TOKEN_REVOKED), id="the PairingToken is revoked"),
        pytest.param({}, {}, {"revoked_through": 1, "serial": 2}, Refuse(Refusal.TOKEN_REVOKED), id="its serial is"),
        pytest.param({"token_id": UID}, {}, {}, Refuse(Refusal.UNKNOWN), id="a jti that is not derived"),
        pytest.param({}, MOVED, {}, Refuse(Refusal.ENDED), id="an ended copy"),
        pytest.param(
            {"bound_to": None, "proved_key": None},
            {"key_thumbprint": None},
            {"revoked_below": 2, "generation": 2},
            Refuse(Refusal.COMPROMISED),
            id="revoked at once, without a key",
        ),
        pytest.param(
            {}, {}, {"revoked_below": 2, "generation": 2}, Refuse(Refusal.COMPROMISED), id="no rotation will move it"
        ),
        pytest.param({"failed": DISK_FULL}, {"offer": OFFER}, {}, Record(DISK_FULL), id="a failure"),
        pytest.param(
            {"failed": DISK_FULL}, {"offer": OFFER, "failure": DISK_FULL}, {}, Nothing(touch=False), id="once more"
        ),
    ],
)
def test_a_check_in_is_decided(
    copy: dict[str, object], device: dict[str, object] | None, target: dict[str, object] | None, decision: object
) -> None:
    found = None if device is None else a_device(1, **device)
    read = check_in.Reading(found, None if target is None else a_target(**target))

    assert check_in.decide(presented(**copy), read, NOON) == decision  # type: ignore[arg-type]  # the fields of the test


def enrolls(
    value: tuple[int, int, str | None], target: Target | None, device: DeviceFacts | None = None
) -> enrolling.Decision:
    serial, generation, key = value
    request = enrolling.Presented(value_id(UID, serial, generation), UID, serial, generation, None, "d-new", key)
    return enrolling.decide(request, target, device, NOON)


PLACE = Enrolling("d-new", 1, NOON)
PRESENT = (1, 1, THUMBPRINT)


@pytest.mark.parametrize(
    ("value", "target", "device", "decision"),
    [
        pytest.param(PRESENT, {}, None, TakePlace(PLACE), id="a new device"),
        pytest.param(PRESENT, {"enrolling": (PLACE,)}, None, Create(1), id="it has its place"),
        pytest.param(PRESENT, {"devices": 1000}, None, Reject(Rejection.FULL), id="full"),
        pytest.param(
            PRESENT,
            {"devices": 999, "enrolling": (Enrolling("d-x", 1, NOON),)},
            None,
            Reject(Rejection.FULL),
            id="full with a place",
        ),
        pytest.param(PRESENT, {"enrolling": (Enrolling("d-x", 1, NOON),) * 64}, None, Retry(), id="too many at once"),
        pytest.param(PRESENT, {"enrollment_open": False}, None, Reject(Rejection.CLOSED), id="closed"),
        pytest.param((1, 1, None), {}, None, Reject(Rejection.KEY_REQUIRED), id="no key"),
        pytest.param((1, 1, None), {"key_required": False}, None, TakePlace(PLACE), id="no key needed"),
        pytest.param(PRESENT, {"generation": 2}, None, Reject(Rejection.REPLACED), id="the value was replaced"),
        pytest.param(PRESENT, {"serial": 2, "recorded_serial": 2}, None, Reject(Rejection.REPLACED), id="by a serial"),
        pytest.param(PRESENT, {"revoked": True}, None, Reject(Rejection.REVOKED), id="revoked"),
        pytest.param((1, 2, THUMBPRINT), {}, None, ReadAgain(), id="newer than the reading"),
        pytest.param(PRESENT, {"recorded_serial": None}, None, Retry(), id="not recorded yet"),
        pytest.param(PRESENT, {}, {}, Answer(1), id="the same key"),
        pytest.param(PRESENT, {"enrollment_open": False}, {}, Answer(1), id="the same key, closed"),
        pytest.param(
            PRESENT, {"generation": 2}, {"checked_in": False}, Answer(1), id="a lost answer, by the old value"
        ),
        pytest.param(
            PRESENT, {"generation": 2}, {}, Reject(Rejection.REPLACED), id="by the old value after a check-in"
        ),
        pytest.param(PRESENT, {}, {"revoked": True}, Reject(Rejection.DEVICE_REVOKED), id="a revoked Device"),
        pytest.param((1, 2, THUMBPRINT), {"generation": 2, "revoked_below": 2}, {}, OfferCopy(2), id="revoked at once"),
        pytest.param(
            PRESENT,
            {"generation": 2, "revoked_below": 2},
            {"checked_in": False},
            Reject(Rejection.REPLACED),
            id="revoked at once, by the old value",
        ),
    ],
)
def test_an_enrollment_is_decided(
    value: tuple[int, int, str | None], target: dict[str, object], device: dict[str, object] | None, decision: object
) -> None:
    assert enrolls(value, a_target(**target), None if device is None else a_device(1, **device)) == decision


def test_entries_are_counted_or_given_up_after_ten_minutes() -> None:
    old, new = Enrolling("d-old", 1, NOON - timedelta(minutes=10)), Enrolling("d-new", 1, NOON)
    target = a_target(devices=3, enrolling=(old, new, Enrolling("d-made", 1, NOON)))

    settled = enrolling.settled(target, {"d-made"}, {"d-old", "d-new"}, NOON)

    assert (settled.devices, settled.enrolling) == (4, (new,))
    assert enrolling.recounted(target, ["d-a", "d-made"]).devices == 1


def test_a_copy_is_a_function_of_device_and_generation() -> None:
    device = a_device(1)
    claims = [
        copy_claims(one, 2, namespace="edge", project_key="fleet01", pairing_token=("cams", UID), issuer=ISSUER)
        for one in (device, replace(device, offer=OFFER, last_seen=A_YEAR_AGO))
    ]

    assert claims[0] == claims[1]
    assert isinstance(DEVICE, Profile)
    assert DEVICE.first_wrong(claims[0]) is None
    assert claims[0]["sub"] == f"device:edge/{device.name}"
    assert device_name(UID, THUMBPRINT) == device_name(UID, THUMBPRINT) != device_name(UID, OTHER_THUMBPRINT)


def test_the_keys_of_both_accepted_copies_are_in_use_until_the_device_is_revoked() -> None:
    device = a_device(1, **MOVED, offer=OFFER)

    assert keys_in_use(device, a_target()) == {"key-2", "key-3"}
    assert keys_in_use(device, a_target(revoked=True)) == frozenset()
    assert keys_in_use(replace(device, offer=None, generation=None, key_id=None), None) == {"key-1"}
