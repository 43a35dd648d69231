"""The GHZ sampler on one core beside numpy. ``OMP_NUM_THREADS=1 python ghz_phase.py``."""

from __future__ import annotations

import json

from qfedfm.benchmarks.ghz_phase import measure

if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
