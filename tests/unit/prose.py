"""Read the sentences of public texts, and find what breaks the style rule of CONTRIBUTING.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_WORDS = 25

_BANNED = re.compile(
    r"\b(whoever|somebody|nobody|anew|lest|hearsay|tells?|told|licen[c]es?|licen[c]ed)\b"
    r"|\bfor ever\b|\bis spent\b|\blies? about\b|\bby itself\b|\bno more than\b",
    re.IGNORECASE,
)
_FIRST_WORDS = re.compile(r"(What|Who|Whoever|Nothing|Nobody|Else)\b")
# An id is the business of docs/rules.md. A public text may link to its row and must not depend on it.
_INTERNAL_ID = re.compile(r"\b[RSDI]\d{1,3}\b")
_BRITISH = re.compile(
    r"\b\w*(behaviour|colour|favour|honour|neighbour|centre\b|defence|offence|analys(e|es|ed|ing)\b|catalogue|grey\b|"
    r"judgement|labell|modelled|cancell(ed|ing)|signall|travell|fulfil\b|enrol\b|artefact|isation\b|"
    r"(author|real|recogn|organ|serial|normal|initial|synchron|minim|maxim|optim|util|summar|categor|linear)"
    r"is(e|es|ed|ing)\b)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[^a-z])")
_WORD = re.compile(r"[A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class Text:
    """One public text, and where it stands."""

    place: str
    text: str


def problems(texts: Iterator[Text] | list[Text], *, most_words: int = MOST_WORDS) -> list[str]:
    """Return each place that breaks the rule, with what is wrong and the sentence."""
    return [
        f"{text.place}: {problem}: {sentence}"
        for text in texts
        for sentence in sentences(text.text)
        for problem in problems_of(sentence, most_words)
    ]


def problems_of(sentence: str, most_words: int = MOST_WORDS) -> Iterator[str]:
    """Yield what is wrong with one sentence."""
    for pattern, problem in ((_BANNED, "banned"), (_INTERNAL_ID, "an internal id"), (_BRITISH, "British spelling")):
        if found := pattern.search(sentence):
            yield f"{problem} ({found[0]})"
    if found := _FIRST_WORDS.match(sentence):
        yield f"begins with {found[0]}"
    words = sum(bool(_WORD.search(word)) for word in sentence.split())
    if words > most_words:
        yield f"{words} words"


def banned_in(text: str) -> list[str]:
    """Return the banned words of a text."""
    return [found[0] for found in _BANNED.finditer(text)]


def sentences(text: str) -> list[str]:
    """Cut a text into sentences. Inline code counts as one word, and its dots end nothing."""
    flat = re.sub(r"``?[^`]+``?", "`code`", " ".join(text.split()))
    return [sentence for sentence in _SENTENCE_END.split(flat) if sentence]


def markdown(place: str, page: str) -> Iterator[Text]:
    """Yield the texts of a page: paragraphs, items of lists and cells of tables. Code blocks are no prose."""
    page = re.sub(r"^```.*?^```\n?", "\n", page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"\[[^\]]*\]\((?:docs/)?rules\.md#[^)]*\)", "The rule", page)
    page = re.sub(r"\[([^\] ]+\.\w+)\]\([^)]*\)", r"`\1`", page)  # the name of a file
    page = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", page).replace("**", "").replace("<br>", " ")
    page = re.sub(r"<a id=[^>]*></a>", "", page)
    for block in _blocks(page):
        yield Text(place, block)


def _blocks(page: str) -> Iterator[str]:
    paragraph: list[str] = []
    for line in [*page.splitlines(), ""]:
        begins = re.match(r"\s*([-*] |\d+\. |> )", line)
        if not line.strip() or begins or line.startswith(("|", "#")):
            if paragraph:
                yield " ".join(paragraph)
            paragraph = []
        if line.startswith("|"):
            yield from _cells(line)
        elif line.startswith("#"):
            yield line.lstrip("# ")
        elif line.strip():
            paragraph.append(line[begins.end() :] if begins else line.strip())


def _cells(line: str) -> Iterator[str]:
    for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")):
        if cell.strip(" -:"):
            yield cell.strip()
