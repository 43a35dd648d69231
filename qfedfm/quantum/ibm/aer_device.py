"""A fake backend on Aer for training in the loop; see :class:`qfedfm.quantum.ibm.loop.Device`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qfedfm.quantum.ibm.backends import find_backend
from qfedfm.quantum.ibm.calibration import take_calibration
from qfedfm.quantum.ibm.estimating import duration, seconds
from qfedfm.quantum.ibm.loop import Answer

if TYPE_CHECKING:
    from qfedfm.quantum.aer_executor import Prepared


class AerDevice:
    """Runs the points of a job in one call of Aer; its seconds are those that the device would take."""

    def __init__(self, ready: Prepared, name: str, shots: int) -> None:
        self.name, self.shots = name, shots
        self.strings, self.columns = ready.strings, ready.columns
        self._ready = ready
        circuits = [measured for _, _, measured in ready.settings()]
        device = name.removeprefix("aer:").removeprefix("fake").removeprefix("_")
        self._calibration = take_calibration(find_backend(f"fake_{device}"), circuits)
        self._longest = max(duration(circuit, self._calibration) for circuit in circuits)
        self._settings = len(circuits)

    def seconds(self, points: int) -> float:
        """Returns the estimate of a job's time on the processor."""
        executions = points * self._settings * self.shots
        return seconds(executions, self._calibration.rep_delay, self._longest)

    def run(self, angles: Any, key: str) -> Answer:
        """Runs one job."""
        return Answer(self._ready.values(angles, None, self.shots, int(key[:7], 16)), None)


@lru_cache(maxsize=8)
def aer_device(ready: Prepared, name: str, shots: int) -> AerDevice:
    """Returns the device for a transpiled circuit; recent ones are kept."""
    return AerDevice(ready, name, shots)
