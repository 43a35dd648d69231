"""Reports: one self-contained HTML file a run, and one for several runs side by side."""

from __future__ import annotations

from qfedfm.experiment.report.comparison import group_runs, write_comparison_report
from qfedfm.experiment.report.run import write_report

__all__ = ["group_runs", "write_comparison_report", "write_report"]
