"""Prints where a round over Flower spends its time, beside engine local (docs/flower.md).

Arguments: CLIENTS ROUNDS DIMENSION [CLASSES]; an update has CLASSES (DIMENSION + 1) numbers of 4 bytes.
"""

import json
import sys

from qfedfm.benchmarks.machines import measure

if __name__ == "__main__":
    print(json.dumps(measure(*(int(text) for text in sys.argv[1:5])), indent=1))
