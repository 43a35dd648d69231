"""Curves of the optimizers in experiments/optimizers.yaml; prints one JSON object.

.venv/bin/python experiments/benchmarks/optimizers.py > experiments/results/optimizers.json
"""

import json
from pathlib import Path

from qfedfm.benchmarks.optimizers import measure

print(json.dumps(measure(Path(__file__).parents[1] / "optimizers.yaml")))
