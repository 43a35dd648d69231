"""Hypothesis for all tests: the same examples everywhere, no verdict that depends on a machine's speed."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "qfedfm",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("qfedfm")
