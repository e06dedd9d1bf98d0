"""Proofs run a few rounds in the gate and all of them in `make soak`; what they counted is printed at the end.

    @pytest.mark.proof(gate=10, soak=200)
    def test_one_of_fifty_wins(rounds: int, figure: Figure) -> None:
        ...
        figure(f"{rounds} rounds, {wins} wins")

A proof with `gate=None` is not collected in the gate. Parameters can differ in the same way:

    @pytest.mark.variants("case, writer", gate=[...], soak=[...])
    def test_an_edit_is_refused(case: Refused, writer: Writer) -> None:

`make soak` is `pytest --soak`: it takes the marked tests alone.
"""

import inspect
from typing import Any, Protocol

import pytest

SOAK_TIMEOUT_SECONDS = 3600
FIGURE = "figure"


class Figure(Protocol):
    """Tells what a proof has counted."""

    def __call__(self, text: str, /) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the proofs alone, with all their rounds")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proof(gate, soak): rounds in the gate, and with --soak")
    config.addinivalue_line("markers", "variants(names, gate, soak): parameters in the gate, and with --soak")


def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> list[pytest.Item] | None:
    """Leave out of a run each proof that has None for it. A result of None: pytest collects the object as usual."""
    marks = obj.__dict__.get("pytestmark", []) if inspect.isfunction(obj) else []
    rounds = [mark.kwargs[_run_of(collector.config)] for mark in marks if mark.name == "proof"]
    return [] if rounds == [None] else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a test by its marker `variants` and by --soak."""
    for marker in metafunc.definition.iter_markers("variants"):
        (names,) = marker.args
        chosen: list[Any] = marker.kwargs[_run_of(metafunc.config)]
        assert chosen, f"{metafunc.definition.nodeid} has no variants, and pytest would skip it: delete the test"
        metafunc.parametrize(names, chosen)


def _run_of(config: pytest.Config) -> str:
    return "soak" if config.option.soak else "gate"


def select(items: list[pytest.Item], config: pytest.Config) -> None:
    """With --soak: keep the proofs, and give them time."""
    if not config.option.soak:
        return
    proofs = [item for item in items if _is_proof(item)]
    others = [item for item in items if not _is_proof(item)]
    for proof in proofs:
        proof.add_marker(pytest.mark.timeout(SOAK_TIMEOUT_SECONDS), append=False)
    config.hook.pytest_deselected(items=others)
    items[:] = proofs


def _is_proof(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("proof", "variants"))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often to try, by the test's marker `proof` and by --soak."""
    marker = request.node.get_closest_marker("proof")
    assert marker is not None, "a test with rounds says how many: @pytest.mark.proof(gate=..., soak=...)"
    chosen: int = marker.kwargs[_run_of(request.config)]
    return chosen


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Keep what the test has counted, for the end of the run."""

    def keep(text: str) -> None:
        request.node.user_properties.append((FIGURE, text))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, of failed proofs too."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    figures = [
        (report.location[2], text)
        for report in reports
        if report.when == "call"
        for name, text in report.user_properties
        if name == FIGURE
    ]
    if figures:
        terminalreporter.section("figures of the proofs")
    for test, text in figures:
        terminalreporter.write_line(f"{test}: {text}")
