"""A 7-billion model's LoRA of 50 clients: exact fixed rank against a dense SVD; prints one JSON object.

.venv/bin/python experiments/benchmarks/aggregation.py [--measured 4] [--no-dense]
"""

import sys

from qfedfm.cli.main import invoke

sys.exit(invoke(["bench", "aggregation", "--json", *sys.argv[1:]]))
