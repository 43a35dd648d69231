"""Which number format the frozen weights are held in, decided from capability flags, never by timing."""

from __future__ import annotations

import logging
import platform
from functools import cache
from pathlib import Path
from typing import Literal

from qfedfm.core.errors import RequestError

Precision = Literal["auto", "float32", "bfloat16"]
_LOGGER = logging.getLogger(__name__)
_X86_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})


@cache
def processor_flags() -> frozenset[str]:
    """Returns the processor's capability flags in lower case; empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return frozenset(value.lower().split())
    return frozenset()


def cpu_has_bfloat16() -> bool:
    """Returns whether the processor multiplies bfloat16 in hardware."""
    flags = processor_flags()
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "bf16" in flags
    return bool(flags & _X86_FLAGS)


def resolve_precision(precision: str, device: str) -> str:
    """Returns ``float32`` or ``bfloat16`` for what the file asks and the device offers.

    ``auto`` is bfloat16 where the hardware has it: AVX512-BF16 or AMX-BF16 (x86), BF16 (Arm), or a CUDA
    device of compute capability 8 or more. Weights that are trained are float32 either way.

    Args:
        precision: ``auto``, ``float32`` or ``bfloat16``.
        device: ``cpu`` or ``cuda`` (with or without a number).

    Raises:
        RequestError: If ``precision`` is none of the three.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise RequestError(f"model.precision is {precision!r}; it must be auto, float32 or bfloat16")
    if device.startswith("cuda"):
        import torch

        has = torch.cuda.is_available() and torch.cuda.get_device_capability(torch.device(device))[0] >= 8
    else:
        has = cpu_has_bfloat16()
    if precision == "auto":
        return "bfloat16" if has else "float32"
    if precision == "bfloat16" and not has:
        _LOGGER.warning("model.precision is bfloat16, but this hardware emulates it: float32 would be faster")
    return precision
