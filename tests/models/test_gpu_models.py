"""The same model on a CUDA device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qfedfm.models import load_model_from_folder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize(
    "adapter", [{"kind": "none"}, {"kind": "lora", "last_layers": 2}], ids=["none", "lora"]
)
@pytest.mark.parametrize("head", ["linear", "quantum", "matched_mlp", "random_features", "frozen_quantum"])
def test_cuda_equals_cpu(
    adapter: dict[str, Any], head: str, make: Callable[..., Any], tmp_path: Path
) -> None:
    results = []
    for device in ("cpu", "cuda"):
        model = make(adapter=adapter, head={"kind": head}, device=device)
        vector = model.initial() + 0.02
        assert vector.device.type == device
        leaves = model.leaves(vector[None])
        logits = model.logits(leaves, torch.arange(12, device=device)[None])
        logits.square().sum().backward()
        results.append((logits.detach().cpu(), model.gather({n: t.grad for n, t in leaves.items()}).cpu()))
        model.save(vector, tmp_path / device)
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-3, atol=1e-3)
    assert (results[0][1] - results[1][1]).norm() < 1e-2 * results[0][1].norm()
    on_cpu = load_model_from_folder(tmp_path / "cuda", device="cpu").logits(["good film", "bad plot"])
    on_gpu = load_model_from_folder(tmp_path / "cpu", device="cuda").logits(["good film", "bad plot"])
    torch.testing.assert_close(torch.from_numpy(on_cpu), torch.from_numpy(on_gpu), rtol=1e-3, atol=1e-3)


def test_dropout_takes_a_cuda_generator(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora", "dropout": 0.3}, device="cuda", precision="bfloat16")
    model.reseed(torch.Generator(device="cuda").manual_seed(1))
    logits = model.logits(model.leaves(model.initial()[None]), torch.arange(4, device="cuda")[None])
    assert bool(torch.isfinite(logits).all())
