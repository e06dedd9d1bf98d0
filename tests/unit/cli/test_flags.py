"""Flags that a feature declares are flags of the commands that it names, at their place, with their help."""

import inspect
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from tallystick.cli.flags import flags_of, process_flags, with_flags
from tallystick.registry import FEATURES
from tallystick.runtime.flags import Command, Flag

COLOR = Flag(name="toy_color", option=Annotated[str, typer.Option(help="The color of new toys.")], default="red")
SIZE = Flag(name="size", option=int | None)


@pytest.fixture
def seen() -> dict[str, object]:
    return {}


@pytest.fixture
def app(seen: dict[str, object]) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @with_flags((COLOR, SIZE), after="first")
    def make(command: typer.Context, first: str = "a", last: bool = False) -> None:
        """Make toys."""
        seen.update(command.params, own=(first, last))

    return app


def test_the_command_finds_the_added_flags_in_its_context_and_its_own_as_arguments(
    app: typer.Typer, seen: dict[str, object]
) -> None:
    done = CliRunner().invoke(app, ["--toy-color", "blue", "--size", "3", "--first", "b", "--last"])

    assert done.exit_code == 0, done.output
    assert seen == {"first": "b", "toy_color": "blue", "size": 3, "last": True, "own": ("b", True)}


def test_a_flag_that_is_not_given_has_its_default(app: typer.Typer, seen: dict[str, object]) -> None:
    assert CliRunner().invoke(app, []).exit_code == 0

    assert (seen["toy_color"], seen["size"]) == ("red", None)


def test_a_value_of_another_type_is_rejected_before_the_command_runs(app: typer.Typer, seen: dict[str, object]) -> None:
    assert CliRunner().invoke(app, ["--size", "large"]).exit_code == 2
    assert seen == {}


def test_the_flags_are_listed_behind_the_parameter_that_is_named() -> None:
    @with_flags((COLOR, SIZE), after="first")
    def make(first: str = "a", last: bool = False) -> None:
        """Make toys."""
        del first, last

    assert list(inspect.signature(make).parameters) == ["first", "toy_color", "size", "last"]
    assert (make.__name__, make.__doc__) == ("make", "Make toys.")


def test_a_place_that_does_not_exist_is_an_error_at_import() -> None:
    def make(first: str = "a") -> None:
        del first

    with pytest.raises(ValueError, match="second"):
        with_flags((COLOR,), after="second")(make)


def test_each_flag_of_a_feature_is_a_setting_of_it() -> None:
    for feature in FEATURES:
        for flags in feature.flags.values():
            assert {flag.name for flag in flags} <= set(feature.settings.model_fields)


@pytest.mark.parametrize("command", ["controller", "exchange"])
def test_no_two_flags_of_a_process_have_one_name(command: Command) -> None:
    names = [flag.name for flag in process_flags(FEATURES, command)]

    assert len(set(names)) == len(names)
    assert {flag.name for flag in flags_of(FEATURES, command)} <= set(names)
