"""An outcome as one flat object, without the key."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from qfedfm.security.qkd.link.outcome import Key, Outcome
from qfedfm.security.qkd.rates.presets import LinkParameters


def describe(outcome: Outcome, link: LinkParameters, distance: float) -> dict[str, Any]:
    """Returns what a session measured and how it ended; key bits are not in it."""
    statistics = outcome.statistics
    found: dict[str, Any] = {"outcome": "key" if isinstance(outcome, Key) else "abort"}
    if isinstance(outcome, Key):
        found |= {
            "key_bits": len(outcome.alice),
            "secret_bits": outcome.secret_bits,
            "phase_error": outcome.phase_error,
            "key_rate_per_pulse": len(outcome.alice) / statistics.pulses,
            "key_rate": len(outcome.alice) / statistics.pulses * link.pulse_rate,
        }
    else:
        found |= {"key_bits": 0, "reason": outcome.reason, "sentence": outcome.sentence}
        if outcome.message:
            found["message"] = outcome.message
    return found | {"distance_km": distance, **asdict(statistics), "leak_bits": statistics.leak}
