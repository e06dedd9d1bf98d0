"""The style rule of CONTRIBUTING.md holds for the help, the messages and the errors of pairing and the command line."""

import pytest

from tests.unit.prose import problems
from tests.unit.prose_sources.admission import texts_of_policies
from tests.unit.prose_sources.command_line import texts_of_help
from tests.unit.prose_sources.pairing import texts_of_conditions
from tests.unit.prose_sources.source_code import comments_of, docstrings_of, sentences_of

PACKAGES = pytest.mark.parametrize("package", ["pairing", "cli", "localplane"])
ANY_LENGTH = 1000


def test_the_help_of_each_command_and_flag_is_plain_english() -> None:
    texts = list(texts_of_help())

    assert len(texts) > 50
    assert [text.place for text in texts if not text.text] == []
    assert problems(texts) == []


def test_the_messages_of_conditions_are_plain_english() -> None:
    assert problems(texts_of_conditions()) == []


def test_the_messages_of_admission_policies_are_plain_english() -> None:
    texts = list(texts_of_policies())

    assert len(texts) > 20
    assert problems(texts) == []


@PACKAGES
def test_the_errors_events_and_logs_are_plain_english(package: str) -> None:
    texts = list(sentences_of(package))

    assert len(texts) > 20
    assert problems(texts) == []


@PACKAGES
def test_docstrings_and_comments_use_plain_words_and_link_to_rules(package: str) -> None:
    texts = [*docstrings_of(package), *comments_of(package)]

    assert len(texts) > 100
    assert problems(texts, most_words=ANY_LENGTH) == []
