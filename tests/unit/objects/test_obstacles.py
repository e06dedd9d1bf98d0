"""Which errors an object reports, and in which words: those of the API server, made fit, and the next action (S28)."""

import pytest

from tallystick.errors import NotYetError
from tallystick.objects.obstacles import MOST_FAILURES, REMEMBERED, WORDS_BYTES, Obstacles, rejection_text
from tallystick.objects.ports import (
    AlreadyExistsError,
    ConflictError,
    NamespaceTerminatingError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from tallystick.objects.reasons import SharedReason

FAILURE = UnavailableError("the API server returned 500: no", retry_after=3, is_failure=True)
LOOKS_LIKE_A_TOKEN = "ey" + "JhbGciOiJub25lIn0.e30.c2ln"
LOOKS_LIKE_A_TOKEN_IN_A_SECRET = "ZX" + "lKaGJHY2lPaUp1YjI1bEluMC5lMzAuYzJsbg=="


@pytest.mark.parametrize(
    ("words", "written"),
    [
        pytest.param("no\r\n\tReady: True", "no Ready: True", id="lines"),
        pytest.param("\x1b[31mred\x00", "[31mred", id="control characters"),
        pytest.param("\u202egnp.exe\u200b", "gnp.exe", id="signs that are not seen"),
        pytest.param(f"data: {LOOKS_LIKE_A_TOKEN} is bad", "data: [redacted] is bad", id="a token"),
        pytest.param(f"data: {LOOKS_LIKE_A_TOKEN_IN_A_SECRET} is bad", "data: [redacted] is bad", id="in a Secret"),
        pytest.param("x" * 5000, "x" * (WORDS_BYTES - 3) + "...", id="too long"),
        pytest.param("\u00e9" * 5000, "\u00e9" * ((WORDS_BYTES - 3) // 2) + "...", id="counted in bytes"),
    ],
)
def test_the_words_of_the_api_server_are_made_fit(words, written):
    text = rejection_text(RefusedError(words))

    before, after = "the API server rejects a request of the operator for this object: ", "; remove the cause that"
    assert text.startswith(f"{before}{written.rstrip('.')}{after}")
    assert len(text.encode()) < 1024


@pytest.mark.parametrize(
    "error",
    [
        ConflictError("the object has been modified"),
        AlreadyExistsError("exists"),
        NotFoundError("gone"),
        UnavailableError("the API server did not respond"),
        NotYetError("temporarily_unavailable", "try again"),
    ],
)
def test_what_passes_without_anybody_is_not_reported(error):
    obstacles = Obstacles()

    assert [obstacles.found("uid", error) for _ in range(10)] == [None] * 10


def test_a_namespace_that_is_being_deleted_is_not_reported():
    obstacle = Obstacles().found("uid", NamespaceTerminatingError("is being terminated"))

    assert obstacle is not None
    assert not obstacle.is_reported


def test_failures_are_counted_in_a_row_and_for_each_object():
    obstacles = Obstacles()

    found = [obstacles.found("one", FAILURE) for _ in range(MOST_FAILURES - 1)]
    found.append(obstacles.found("two", FAILURE))
    obstacles.passed("one")
    found += [obstacles.found("one", FAILURE) for _ in range(MOST_FAILURES - 1)]
    reported = obstacles.found("one", FAILURE)

    assert found == [None] * len(found)
    assert reported is not None
    assert (reported.reason, reported.retry_after) == (SharedReason.WRITE_REJECTED, 3)


def test_the_failures_of_a_bounded_number_of_objects_are_remembered():
    obstacles = Obstacles()

    for number in range(REMEMBERED + 10):
        obstacles.found(str(number), FAILURE)

    assert len(obstacles._failures) == REMEMBERED


def test_a_denial_by_rbac_is_reported_if_it_lasts_because_an_api_server_that_starts_has_not_read_the_roles():
    words = 'secrets is forbidden: User "system:serviceaccount:ts:controller" cannot create resource "secrets"'
    obstacles = Obstacles()

    found = [obstacles.found("uid", RefusedError(words)) for _ in range(MOST_FAILURES)]

    assert found[:-1] == [None] * (MOST_FAILURES - 1)
    assert found[-1].reason == SharedReason.WRITE_REJECTED
    assert "grant the permission again: apply the output of tallystick manifests" in found[-1].message
