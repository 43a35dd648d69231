"""Circuits against PennyLane, JAX and Aer one by one; prints one JSON object.

.venv/bin/python experiments/benchmarks/quantum.py [--part steps|clients|aer|metric|plugin|wide|compilation]
"""

import sys

from qfedfm.cli.main import invoke

sys.exit(invoke(["bench", "quantum", "--json", *sys.argv[1:]]))
