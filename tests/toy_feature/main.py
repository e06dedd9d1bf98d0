"""The program with the toy: the composition root of the harness, and one line.

python -m tests.toy_feature.main controller --flag value ...
"""

import sys

from tallystick import registry
from tests.harness.main import main
from tests.toy_feature.feature import FEATURE as TOY

FEATURES = (*registry.FEATURES, TOY)

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:], features=FEATURES))
