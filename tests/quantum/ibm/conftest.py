"""No account, whatever the machine has, and a ledger of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("qfedfm.quantum.ibm.account._saved", dict)
    monkeypatch.setenv("QFEDFM_JOBS", str(tmp_path / "jobs"))
