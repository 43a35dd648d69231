"""Local training and federation against PEFT's loop and Flower; prints one JSON object.

.venv/bin/python experiments/benchmarks/federation.py [--part lora|flower|scale]
"""

import sys

from qfedfm.cli.main import invoke

sys.exit(invoke(["bench", "federation", "--json", *sys.argv[1:]]))
