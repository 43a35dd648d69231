"""Floor 7: benchmarks against named peers. Each prints ratios measured in one run; no test asserts a time."""
