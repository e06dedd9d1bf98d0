"""Each version of an object is parsed once, and only so many are kept."""

from tallystick.fleet.services.parsed import Parsed


def a_body(uid, version):
    return {"metadata": {"uid": uid, "resourceVersion": version}}


def parsing(**bounds):
    seen = []
    return seen, Parsed(lambda body: seen.append(body["metadata"]) or len(seen), **bounds)


def test_a_version_is_parsed_once_and_the_next_one_again():
    seen, parsed = parsing()

    assert [parsed.of(a_body("a", version)) for version in ("1", "1", "2", "2", "1")] == [1, 1, 2, 2, 3]
    assert len(seen) == 3


def test_an_object_of_the_same_version_and_another_uid_is_another_one():
    _, parsed = parsing()

    assert [parsed.of(a_body(uid, "1")) for uid in ("a", "b", "a")] == [1, 2, 1]


def test_the_oldest_is_removed_first():
    _, parsed = parsing(most=2)

    assert [parsed.of(a_body(uid, "1")) for uid in ("a", "b", "c", "b", "a")] == [1, 2, 3, 2, 4]
