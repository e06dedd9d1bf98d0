import pytest

from tallystick.crypto.encoding import MalformedError, from_base64url, parse_object, to_base64url, to_json


@pytest.mark.parametrize("raw", [b"\0", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64url_comes_back_as_it_went(raw):
    assert from_base64url(to_base64url(raw)) == raw


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("YQ==", id="padded"),
        pytest.param("YR", id="trailing bits"),
        pytest.param("-_+/", id="the other alphabet"),
        pytest.param("YWJjZ", id="impossible length"),
        pytest.param("YQ\n", id="newline"),
        pytest.param("Y Q", id="blank"),
        pytest.param("\uff39\uff31", id="full width"),
    ],
)
def test_another_spelling_of_base64url_is_refused(text):
    with pytest.raises(MalformedError):
        from_base64url(text)


def test_equal_objects_are_written_with_equal_bytes():
    assert to_json({"b": 1, "a": "ü"}) == to_json({"a": "ü", "b": 1}) == '{"a":"ü","b":1}'.encode()


def test_an_object_is_read():
    assert parse_object(b' {"a": [1, {"b": null}], "c": -2} ') == {"a": [1, {"b": None}], "c": -2}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"a"', id="string"),
        pytest.param(b'{"a":1,"a":1}', id="duplicate name"),
        pytest.param(b'{"x":{"a":1,"a":2}}', id="duplicate name inside"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="duplicate name, escaped"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"a":1.0}', id="fraction"),
        pytest.param(b'{"a":1e400}', id="exponent"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":-Infinity}', id="infinity"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="5000 digits"),
        pytest.param(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep nesting"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b'{"a":1} {}', id="two objects"),
        pytest.param(b'{"a":"\n"}', id="raw control character"),
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(raw):
    with pytest.raises(MalformedError):
        parse_object(raw)
