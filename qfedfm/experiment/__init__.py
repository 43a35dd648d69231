"""Floor 6: the experiment file, run records, resume, evaluate, compare, report."""
