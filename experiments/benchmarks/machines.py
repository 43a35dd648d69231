"""Prints where a round over Flower spends its time, beside engine local (docs/flower.md)."""

import json
import sys

from qfedfm.benchmarks.machines import measure

if __name__ == "__main__":
    clients, rounds, dimension = (int(text) for text in sys.argv[1:4])
    print(json.dumps(measure(clients, rounds, dimension), indent=1))
