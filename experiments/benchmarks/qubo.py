"""QUBO solvers on decisions of 200 variables; prints one JSON object.

.venv/bin/python experiments/benchmarks/qubo.py [--instances 5]
"""

import argparse
import json

from qfedfm.benchmarks.qubo import measure

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--instances", type=int, default=5)
print(json.dumps(measure(parser.parse_args().instances), indent=1))
