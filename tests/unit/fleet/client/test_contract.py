"""The contract of a device: each answer of the exchange, and the step that follows."""

import pytest

from tallystick.fleet.client.contract import (
    LONGEST_RETRY_AFTER,
    LONGEST_WAIT,
    Answer,
    Copy,
    Drop,
    Failure,
    Held,
    Memory,
    Outcome,
    Promote,
    Request,
    Slot,
    Step,
    Store,
    after_failed_write,
    next_request,
    spread,
    step,
)
from tests.fakes import NOON

FIRST, SECOND, THIRD = (Copy("d-a", generation, f"token-{generation}") for generation in (1, 2, 3))
BOTH = Held(FIRST, SECOND)
BY_NEXT, BY_PROVED = Request(Slot.NEXT, SECOND), Request(Slot.PROVED, FIRST)


def a_body(copy: Copy, **changes: object) -> dict[str, object]:
    return {
        "device_id": copy.device_id,
        "generation": copy.generation,
        "token": copy.token,
        "token_type": "DPoP",
        **changes,
    }


def a_problem(status: int, code: str, **facts: object) -> Answer:
    return Answer(status, {"type": f"urn:problem:{code}"}, **facts)


@pytest.mark.parametrize(
    ("held", "refused", "expected"),
    [
        (Held(), (), Request()),
        (Held(FIRST), (), BY_PROVED),
        (BOTH, (), BY_NEXT),
        (BOTH, (Slot.NEXT,), BY_PROVED),
        (BOTH, (Slot.NEXT, Slot.PROVED), Request()),
        (Held(None, SECOND), (), BY_NEXT),
    ],
)
def test_the_next_copy_is_tried_first_then_the_proved_one_then_the_key(held, refused, expected):
    assert next_request(held, Memory(refused=frozenset(refused))) == expected


@pytest.mark.parametrize("status", [200, 201])
def test_an_enrollment_stores_the_copy_as_proved_and_checks_in_at_once(status):
    taken = step(Held(), Memory(), Request(), Answer(status, a_body(FIRST)))

    assert taken == Step(Outcome.ENROLLED, Memory(failures=1), (Store(Slot.PROVED, FIRST),))


def test_an_enrollment_after_two_rejections_stores_the_copy_before_it_deletes_the_rejected_one():
    memory = Memory(refused=frozenset(Slot))

    taken = step(BOTH, memory, Request(), Answer(200, a_body(THIRD)))

    assert taken.writes == (Store(Slot.PROVED, THIRD), Drop())


@pytest.mark.parametrize(
    ("held", "request_", "writes"), [(BOTH, BY_NEXT, (Promote(),)), (BOTH, BY_PROVED, ()), (Held(FIRST), BY_PROVED, ())]
)
def test_204_proves_the_copy_that_was_sent_and_waits(held, request_, writes):
    assert step(held, Memory(), request_, Answer(204, retry_after=15.0)) == Step(
        Outcome.UP_TO_DATE, Memory(), writes, wait=15.0
    )


def test_a_newer_copy_is_stored_as_next_and_used_at_once():
    taken = step(Held(FIRST), Memory(), BY_PROVED, Answer(200, a_body(SECOND), retry_after=15.0))

    assert taken == Step(Outcome.HANDED_OUT, Memory(), (Store(Slot.NEXT, SECOND),))


def test_a_newer_copy_for_the_next_one_is_stored_after_the_rename():
    taken = step(BOTH, Memory(), BY_NEXT, Answer(200, a_body(THIRD)))

    assert taken.writes == (Promote(), Store(Slot.NEXT, THIRD))


@pytest.mark.parametrize("copy", [FIRST, SECOND])
def test_a_copy_that_is_not_newer_is_ignored(copy):
    taken = step(BOTH, Memory(), BY_PROVED, Answer(200, a_body(copy), retry_after=15.0))

    assert taken == Step(Outcome.UP_TO_DATE, Memory(), (), wait=15.0)


def test_a_rejected_next_copy_does_not_hide_the_one_that_the_exchange_returns():
    memory = Memory(refused=frozenset({Slot.NEXT}))

    taken = step(Held(FIRST, THIRD), memory, BY_PROVED, Answer(200, a_body(SECOND)))

    assert (taken.outcome, taken.writes) == (Outcome.HANDED_OUT, (Store(Slot.NEXT, SECOND),))


@pytest.mark.parametrize(("request_", "slot"), [(BY_NEXT, Slot.NEXT), (BY_PROVED, Slot.PROVED)])
@pytest.mark.parametrize("answer", [a_problem(401, "invalid-token"), Answer(401)])
def test_401_moves_to_the_other_copy_and_changes_no_file(request_, slot, answer):
    assert step(BOTH, Memory(), request_, answer) == Step(Outcome.REJECTED, Memory(refused=frozenset({slot})))


@pytest.mark.parametrize("request_", [Request(), BY_NEXT, BY_PROVED])
@pytest.mark.parametrize("status", [400, 401])
def test_an_invalid_proof_takes_the_time_from_the_exchange_once(request_, status):
    refused = a_problem(status, "invalid-dpop-proof", date=NOON)

    first = step(BOTH, Memory(), request_, refused)
    second = step(BOTH, first.memory, request_, refused)

    assert first == Step(Outcome.CLOCK, Memory(clock_taken=True), clock=NOON)
    assert second == Step(Outcome.FAILED, Memory(failures=1), wait=1.0)


def test_an_invalid_proof_without_a_date_is_tried_again_later():
    taken = step(BOTH, Memory(), BY_NEXT, a_problem(401, "invalid-dpop-proof"))

    assert taken == Step(Outcome.FAILED, Memory(failures=1), wait=1.0)


def test_410_stops_and_changes_no_file():
    taken = step(BOTH, Memory(), BY_NEXT, a_problem(410, "device-removed"))

    assert (taken.outcome, taken.writes) == (Outcome.REMOVED, ())


def test_410_to_an_enrollment_is_no_reason_to_stop():
    assert step(Held(), Memory(), Request(), Answer(410)).outcome is Outcome.FAILED


OTHERS = [
    Answer(0, problem="lost"),
    Answer(200),
    Answer(200, a_body(THIRD, token="")),
    Answer(200, a_body(THIRD, token="a b")),
    Answer(200, a_body(THIRD, token_type="Bearer")),
    Answer(200, a_body(THIRD, generation=True)),
    Answer(200, a_body(THIRD, generation=0)),
    Answer(302),
    a_problem(400, "invalid-request"),
    a_problem(403, "device-limit"),
    a_problem(404, "not-found"),
    a_problem(429, "too-many-requests"),
    Answer(500),
    a_problem(503, "temporarily-unavailable"),
]


@pytest.mark.parametrize("answer", OTHERS, ids=str)
@pytest.mark.parametrize("request_", [Request(), BY_NEXT, BY_PROVED])
def test_any_other_answer_changes_no_file_and_is_tried_again_from_the_newest_copy(request_, answer):
    memory = Memory(refused=frozenset({Slot.NEXT}))

    assert step(BOTH, memory, request_, answer) == Step(Outcome.FAILED, Memory(failures=1), wait=1.0)


def test_an_enrollment_with_a_device_id_that_is_no_name_is_not_stored():
    for device_id in ("", "../x", "a/b", None, "d" * 64):
        taken = step(Held(), Memory(), Request(), Answer(201, a_body(FIRST, device_id=device_id)))

        assert taken.writes == ()


def test_retry_after_is_obeyed_within_bounds():
    waits = [step(BOTH, Memory(), BY_NEXT, Answer(503, retry_after=seconds)).wait for seconds in (0.0, 7.0, 1e9)]

    assert waits == [1.0, 7.0, LONGEST_RETRY_AFTER]


def test_waits_double_up_to_a_minute():
    memory, waits = Memory(), []
    for _ in range(9):
        taken = step(BOTH, memory, BY_NEXT, Answer(0))
        memory = taken.memory
        waits.append(taken.wait)

    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]


def test_an_exchange_that_enrolls_and_rejects_the_copy_is_not_flooded():
    held, memory, waits = Held(), Memory(), []
    for _ in range(5):
        enrolled = step(held, memory, Request(), Answer(200, a_body(FIRST)))
        held = Held(FIRST)
        rejected = step(held, enrolled.memory, BY_PROVED, Answer(401))
        memory = rejected.memory
        waits.append(rejected.wait)

    assert waits == [1, 2, 4, 8, 16]


def test_an_exchange_that_hands_out_a_copy_and_rejects_it_is_not_flooded():
    memory, waits = Memory(), []
    for _ in range(4):
        rejected = step(BOTH, memory, BY_NEXT, Answer(401))
        memory = step(BOTH, rejected.memory, BY_PROVED, Answer(200, a_body(SECOND))).memory
        waits.append(rejected.wait)

    assert waits == [0, 1, 2, 4]


def test_a_copy_that_cannot_be_stored_is_reported_at_once_and_then_waits():
    memory, wait = after_failed_write(Memory(), Store(Slot.NEXT, SECOND), "NotStored", "no space left")
    request = next_request(Held(FIRST), memory)
    reported = step(Held(FIRST), memory, request, Answer(200, a_body(SECOND), retry_after=15.0))

    assert wait == 0.0
    assert request == Request(Slot.PROVED, FIRST, Failure(2, "NotStored", "no space left"))
    assert reported == Step(Outcome.UP_TO_DATE, Memory(), (), wait=15.0)


def test_a_report_is_kept_until_it_is_answered():
    failure = Failure(2, "NotStored", "")
    taken = step(Held(FIRST), Memory(failed=failure), Request(Slot.PROVED, FIRST, failure), Answer(0))

    assert taken.memory.failed == failure


@pytest.mark.parametrize("write", [Promote(), Drop(), Store(Slot.PROVED, FIRST)])
def test_another_write_that_fails_is_tried_again_later(write):
    assert after_failed_write(Memory(failures=1), write, "NotStored", "") == (Memory(failures=2), 2.0)


def test_no_token_is_in_a_representation():
    taken = step(Held(FIRST), Memory(), BY_PROVED, Answer(200, a_body(SECOND)))

    assert "token-" not in repr((taken, BOTH, Answer(200, a_body(SECOND))))


@pytest.mark.parametrize(("random_id", "wait"), [("0000", 4.0), ("8000", 5.0), ("ffff", 6.0)])
def test_a_wait_after_a_failure_is_up_to_half_as_long_again(random_id: str, wait: float) -> None:
    assert spread(4.0, f"0a0c1f0e-{random_id}") == pytest.approx(wait, abs=0.001)
