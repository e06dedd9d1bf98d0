"""Whatever the body, the form parser returns what a plain reading gives, or refuses in its own words (FI-17)."""

import re
from collections import Counter
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tallystick.errors import ExchangeRefusedError
from tallystick.exchange.requests import MOST_PARAMETERS, parse_form
from tests.harness.fuzzing import seed_of
from tests.harness.proofs import Figure

MAY_REPEAT = ("audience", "resource")
NAMES = st.sampled_from(["grant_type", "subject_token", "scope", "audience", "resource", "token", "a b", "%", "\u00e9"])
TEXTS = (NAMES | st.text(max_size=12)).map(lambda text: text.encode("utf-8", "surrogatepass"))
BYTES = st.one_of(TEXTS, TEXTS, TEXTS, st.binary(max_size=6))
# What need not be escaped.
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~*")
REPEATED = "occurs more than once"


RARELY = st.sampled_from([*[False] * 15, True])


@st.composite
def escaped(draw: st.DrawFn, raw: bytes) -> bytes:
    """One of the spellings of a name or value, and now and then one that is none."""
    if draw(RARELY):
        return raw  # not escaped at all: it may hold the separators
    upper = draw(st.booleans())
    escapes = [b"%%%02X" % byte if upper else b"%%%02x" % byte for byte in raw]
    spelled = [bytes([byte]) if byte in PLAIN else escapes[place] for place, byte in enumerate(raw)]
    text = b"".join(spelled).replace(b"%20", draw(st.sampled_from([b"+", b"%20"])))
    return text[: -draw(st.integers(1, 2))] if draw(RARELY) else text


@st.composite
def pairs(draw: st.DrawFn) -> bytes:
    name, value = (draw(BYTES.flatmap(escaped)) for _ in range(2))
    return name + (draw(st.sampled_from([b"==", b""])) if draw(RARELY) else b"=") + value


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A form of a few pairs, or of too many, with separators that are none at times."""
    separator = draw(st.sampled_from([b"&&", b";", b"\r\n"])) if draw(RARELY) else b"&"
    few = draw(st.lists(pairs(), max_size=6))
    if not draw(RARELY):
        return separator.join(few)
    many = draw(st.integers(MOST_PARAMETERS - 1, MOST_PARAMETERS + 1))
    return b"&".join([*few, *(b"p%d=1" % number for number in range(many - len(few)))])


def plain_reading(body: bytes) -> tuple[tuple[str, str], ...]:
    """The form as the standard of URLs has it (5.1), less the parameters without a value."""
    read = []
    for pair in body.split(b"&") if body else []:
        name, _, value = (unquote_to_bytes(part.replace(b"+", b" ")) for part in pair.partition(b"="))
        read.append((name.decode(), value.decode()))
    return tuple((name, value) for name, value in read if value)


def attempt(body: bytes) -> str:
    try:
        form = parse_form(body, may_repeat=MAY_REPEAT)
    except ExchangeRefusedError as refused:
        return refusal_of(refused)
    assert form.parameters == plain_reading(body)
    names = Counter(name for name, _ in form.parameters)
    assert {name for name, count in names.items() if count > 1} <= set(MAY_REPEAT)
    assert body.isascii()
    assert not re.search(rb"%(?![0-9A-Fa-f]{2})", body), "an escape that is none"
    assert body.count(b"&") < MOST_PARAMETERS
    return "read"


def refusal_of(refused: ExchangeRefusedError) -> str:
    assert (refused.code, refused.__cause__) == ("invalid_request", None)
    if refused.description.endswith(REPEATED):
        assert refused.description.isascii()
        assert refused.description.isprintable()
        return "repeated"
    assert refused.description == "the body is not a well-formed form"
    return "not a form"


@pytest.mark.proof(gate=500, soak=10_000)
def test_a_body_is_read_as_anybody_reads_it_or_is_refused(
    rounds: int, figure: Figure, pytestconfig: pytest.Config
) -> None:
    seed, ends = seed_of(pytestconfig), Counter[str]()

    @seeded(seed)
    @settings(max_examples=rounds, deadline=None, database=None)
    @given(st.one_of(bodies(), bodies(), bodies(), st.binary()))
    def run(body: bytes) -> None:
        ends[attempt(body)] += 1

    run()

    figure(f"seed {seed}: {', '.join(f'{end} {count}' for end, count in ends.most_common())}")
    assert ends.keys() == {"read", "repeated", "not a form"}
