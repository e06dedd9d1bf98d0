"""Proofs run a few rounds in the gate and all of them in `make soak`; what they counted is printed at the end.

    @pytest.mark.proof(gate=10, soak=200)
    def test_one_of_fifty_wins(rounds: int, figure: Figure) -> None:
        ...
        figure(f"{rounds} rounds, {wins} wins")

`make soak` is `pytest --soak`: it takes the marked tests alone.
"""

from typing import Protocol

import pytest

SOAK_TIMEOUT_SECONDS = 1800
FIGURE = "figure"


class Figure(Protocol):
    """Tells what a proof has counted."""

    def __call__(self, text: str, /) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the proofs alone, with all their rounds")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proof(gate, soak): rounds in the gate, and with --soak")


def select(items: list[pytest.Item], config: pytest.Config) -> None:
    """With --soak: keep the proofs, and give them time."""
    if not config.option.soak:
        return
    proofs = [item for item in items if item.get_closest_marker("proof")]
    others = [item for item in items if not item.get_closest_marker("proof")]
    for proof in proofs:
        proof.add_marker(pytest.mark.timeout(SOAK_TIMEOUT_SECONDS), append=False)
    config.hook.pytest_deselected(items=others)
    items[:] = proofs


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often to try, by the test's marker `proof` and by --soak."""
    marker = request.node.get_closest_marker("proof")
    assert marker is not None, "a test with rounds says how many: @pytest.mark.proof(gate=..., soak=...)"
    chosen: int = marker.kwargs["soak" if request.config.option.soak else "gate"]
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
