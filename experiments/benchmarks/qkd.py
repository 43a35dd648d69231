"""Key distribution on one core against named peers; prints one JSON object.

OMP_NUM_THREADS=1 .venv/bin/python experiments/benchmarks/qkd.py
"""

import sys

from qfedfm.cli.main import invoke

sys.exit(invoke(["bench", "qkd", "--json", *sys.argv[1:]]))
