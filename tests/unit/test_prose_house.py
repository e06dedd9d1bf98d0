"""The style rule of CONTRIBUTING.md holds for the texts in code that are not of pairing or the command line."""

import pytest

from tests.unit.prose import problems
from tests.unit.prose_sources import source_code
from tests.unit.prose_sources.http_api import texts_of_errors, texts_of_http_api
from tests.unit.prose_sources.metrics import texts_of_metrics
from tests.unit.prose_sources.source_code import ROOT, comments_of, docstrings_of, sentences_of

PACKAGES = (
    "clusterkeys",
    "connections",
    "controller",
    "crypto",
    "exchange",
    "fleet",
    "install",
    "kube",
    "objects",
    "runtime",
    "schema",
    "tokens",
)
ELSEWHERE = ("cli", "localplane", "pairing")  # checked by test_prose_pairing.py
ANY_LENGTH = 1000

of_packages = pytest.mark.parametrize("package", PACKAGES)


def test_every_package_is_checked() -> None:
    found = {path.name for path in source_code.PACKAGES.iterdir() if (path / "__init__.py").is_file()}

    assert found == {*PACKAGES, *ELSEWHERE}


def test_the_http_api_is_plain_english() -> None:
    texts, errors = list(texts_of_http_api()), list(texts_of_errors())

    assert (len(texts) > 60, len(errors) > 5) == (True, True)
    assert problems([*texts, *errors]) == []


def test_the_help_of_each_metric_is_plain_english() -> None:
    texts = list(texts_of_metrics())

    assert len(texts) > 20
    assert problems(texts) == []


@of_packages
def test_the_messages_errors_and_logs_are_plain_english(package: str) -> None:
    assert problems(sentences_of(package)) == []


@of_packages
def test_docstrings_and_comments_use_plain_words_and_link_to_rules(package: str) -> None:
    texts = [*docstrings_of(package), *comments_of(package)]

    assert len(texts) > 20
    assert problems(texts, most_words=ANY_LENGTH) == []


def test_the_modules_of_the_root_use_plain_words_and_link_to_rules() -> None:
    texts = [*docstrings_of(ROOT), *comments_of(ROOT), *sentences_of(ROOT)]

    assert len(texts) > 20
    assert problems(texts, most_words=ANY_LENGTH) == []


def test_the_messages_of_a_connection_are_found() -> None:
    texts = [text.text for text in sentences_of("connections") if text.place == "connections/domain/messages.py"]

    assert len(texts) > 10
    assert "the object is being deleted; all its tokens are revoked" in texts
