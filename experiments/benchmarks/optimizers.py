"""Curves of the optimizers in experiments/optimizers.yaml; prints one JSON object.

.venv/bin/python experiments/benchmarks/optimizers.py > experiments/results/optimizers.json
"""

import json
from pathlib import Path

from qfedfm.benchmarks.optimizers import measure

found = measure(Path(__file__).parents[1] / "optimizers.yaml")
for cell in found["cells"]:
    cell["curves"] = [
        [
            {
                name: float(f"{value:.4g}")
                for name, value in point.items()
                if not name.startswith("validation")
            }
            for point in curve
        ]
        for curve in cell["curves"]
    ]
print(json.dumps(found, separators=(",", ":")))
