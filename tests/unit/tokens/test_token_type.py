"""The form fields beside a token: which are read, which values they may have, and for which types of token."""

import pytest

from tallystick.crypto.profiles import Members, Profile
from tallystick.errors import ExchangeRefusedError
from tallystick.registry import TOKEN_TYPES
from tallystick.schema.meta import Resource
from tallystick.tokens.token_type import TokenType, read_hints


def a_type(typ, **hints):
    return TokenType(
        profile=Profile(typ=typ, claims=Members({}), max_lifetime=None),
        resource=Resource("example.com", "v1", "things", "Thing"),
        hints=hints,
    )


A, B, NONE = a_type("a+jwt", color=("red", "blue"), size=("1",)), a_type("b+jwt", color=("green",)), a_type("c+jwt")


def test_only_the_fields_that_a_type_defines_are_read():
    fields = {"token": "red", "token_type_hint": "a", "color": "red"}

    assert read_hints((A, B, NONE), fields) == {"color": "red"}
    assert read_hints((NONE,), fields) == {}


@pytest.mark.parametrize("value", ["red", "blue", "green"])
def test_a_value_of_any_type_that_defines_the_field_is_read(value):
    assert read_hints((A, B, NONE), {"color": value}) == {"color": value}


@pytest.mark.parametrize("value", ["", "Red", "red ", "pink", "1"])
def test_another_value_is_rejected_with_those_that_are_possible(value):
    with pytest.raises(ExchangeRefusedError) as refusal:
        read_hints((A, B, NONE), {"color": value})

    assert (refusal.value.code, refusal.value.description) == ("invalid_request", "color must be red or blue or green")


def test_no_two_types_of_token_have_the_same_typ():
    assert len({token_type.profile.typ for token_type in TOKEN_TYPES}) == len(TOKEN_TYPES)
