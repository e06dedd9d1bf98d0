"""Count the operations of the code of the product: a test of how its cost grows then measures no time."""

import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import tallystick

PRODUCT = str(Path(tallystick.__file__).parent)


class Operations:
    """The calls and lines of the product in a block, each round of a loop anew. `set(names)` is one operation."""

    def __init__(self) -> None:
        self.count = 0
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, _: str, __: object) -> Any:
        if not frame.f_code.co_filename.startswith(PRODUCT):
            return None
        self.count += 1
        return self._trace
