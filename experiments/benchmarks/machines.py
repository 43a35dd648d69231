"""Prints where a round over Flower spends its time, beside engine local (docs/flower.md).

Arguments: CLIENTS ROUNDS DIMENSION [CLASSES]; an update has CLASSES (DIMENSION + 1) numbers of 4 bytes.
With ``--ray`` before them: engine local, Flower's simulation on Ray, and SuperLink, side by side.
"""

import json
import sys

from qfedfm.benchmarks.machines import measure
from qfedfm.benchmarks.simulated import compare

if __name__ == "__main__":
    ray, arguments = sys.argv[1] == "--ray", [int(text) for text in sys.argv[1:] if text != "--ray"]
    print(json.dumps((compare if ray else measure)(*arguments[:4]), indent=1))
