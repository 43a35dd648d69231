"""Sum protocols on one core: masks, the server's sum, CKKS. ``OMP_NUM_THREADS=1 python summation.py``."""

from __future__ import annotations

import json

from qfedfm.benchmarks.summation import measure

if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
