"""The end of a run: the final model's scores, the model itself, the headline numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.experiment.folder import RunFolder, keep_rounds
from qfedfm.experiment.identity import config_hash
from qfedfm.experiment.job_book import jobs_used
from qfedfm.experiment.parts import Parts

if TYPE_CHECKING:
    from qfedfm.data import FederatedData
    from qfedfm.federation.state import State


def finish(parts: Parts, folder: RunFolder, state: State) -> None:
    """Scores and saves the final model, then writes the summary: with it the run is complete."""
    from qfedfm.experiment.evaluation import logits_of
    from qfedfm.experiment.scores import score

    data, model = parts.data, parts.model
    logits = logits_of(model, state.model, data.test)
    scores = score(logits, data.labels[data.test], data.label_names, parts.streams.at("scores"))
    folder.write_json("scores.json", scores.plain())
    scored = parts.personal.by_client(model, state.model, data)
    folder.write_json("clients.json", {**clients_table(data), "accuracy": scored})
    model.save(state.model, folder.path)
    parts.personal.save(state.model, folder.path)
    # Where clients hold data of their own, the server knows labels only of its test data.
    known = data.clients.train_indices if len(data.clients.train_indices) else data.test
    majority = int(np.bincount(data.labels[known]).argmax())
    rounds = keep_rounds(folder.rounds, state.round)
    timings = keep_rounds(folder.timings, state.round)
    last = rounds[-1]
    interval = scores.accuracy.interval
    folder.write_json(
        "summary.json",
        {
            "name": parts.experiment.name,
            "config_hash": config_hash(parts.experiment),
            "run_id": parts.run_id,
            "status": "complete",
            "seed": parts.experiment.seed,
            "rounds": state.round,
            "seconds": sum(timing["seconds"] for timing in timings),
            "test_accuracy": last["test_accuracy"],
            "test_accuracy_interval": list(interval) if interval else None,
            "test_loss": last["test_loss"],
            "test_macro_f1": scores.macro_f1.value,
            "validation_accuracy": last.get("validation_accuracy"),
            "validation_loss": last.get("validation_loss"),
            "client_accuracy": _client_accuracy(scored),
            "majority_accuracy": float((data.labels[data.test] == majority).mean()),
            "trainable_parameters": model.trainable_parameters,
            "quantum_parameters": model.quantum_parameters,
            "upload_bytes": sum(line.get("upload_bytes", 0) for line in rounds),
            "download_bytes": sum(line.get("download_bytes", 0) for line in rounds),
            "refused_updates": sum(len(line.get("refused", ())) for line in rounds),
            **_security_totals(rounds),
            **jobs_used(parts.experiment, folder.path),
            "local_steps": sum(line.get("steps", 0) for line in rounds),
            "classes": len(data.label_names),
            "clients": len(data.clients),
            "train_examples": int(parts.engine.sizes.sum()),
            "test_examples": len(data.test),
            **_exactness(rounds, state),
        },
    )


def _security_totals(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what channel and sum protocol spent; keys and waiting of both together."""
    channel, total = _channel_totals(rounds), _sum_totals(rounds)
    both = {name: channel[name] + total[name] for name in channel.keys() & total.keys()}
    return {**channel, **total, **both}


def _channel_totals(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Returns what the channel spent over all rounds; nothing for a run without one."""
    names = ("key_bits_used", "key_wait_seconds", "channel_bytes")
    if not any(name in line for line in rounds for name in names):
        return {}
    return {name: sum(line.get(name, 0) for line in rounds) for name in names}


def _sum_totals(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what a sum protocol took over all rounds, and its largest error; nothing without one."""
    found = [line["sum"] for line in rounds if "sum" in line]
    if not found:
        return {}
    formed = [entry for entry in found if "rmse" in entry]
    result = {
        "sum_protocol": found[0]["kind"],
        "sum_aborted_rounds": sum("aborted" in entry for entry in found),
        "sum_rmse": max((entry["rmse"] for entry in formed), default=None),
        "sum_relative_rmse": max((entry["relative_rmse"] for entry in formed), default=None),
        "sum_clipped": sum(entry.get("clipped", 0) for entry in found),
        "sum_upload_bytes": sum(sum(entry["bytes_up"].values()) for entry in found),
        "sum_download_bytes": sum(sum(entry["bytes_down"].values()) for entry in found),
        "sum_key_bits": sum(entry["key_bits"] for entry in found),
        "sum_key_wait_seconds": sum(entry.get("key_wait_seconds", 0.0) for entry in found),
    }
    result["key_bits_used"] = result["sum_key_bits"]
    result["key_wait_seconds"] = result["sum_key_wait_seconds"]
    for name in ("shots", "states"):
        if any(name in entry for entry in found):
            result[f"sum_{name}"] = sum(entry.get(name, 0) for entry in found)
    return result


def _client_accuracy(scored: list[dict[str, Any]]) -> float | None:
    """Returns the mean over examples of :meth:`Personal.by_client`'s accuracies on validation parts."""
    if not scored or scored[0]["on"] != "validation":
        return None
    examples = sum(entry["examples"] for entry in scored)
    return float(sum(entry["accuracy"] * entry["examples"] for entry in scored) / examples)


def _exactness(rounds: list[dict[str, Any]], state: State) -> dict[str, Any]:
    """Returns the rule's largest error over rounds and layers, and the size of changed frozen weights."""
    errors = [found["error"] for line in rounds for found in line.get("layers", {}).values()]
    result: dict[str, Any] = {"aggregation_error": max(errors)} if errors else {}
    if state.frozen:
        ranks = [len(tensor) for name, tensor in state.frozen.items() if name.endswith("|down")]
        result["residual_rank"] = max(ranks, default=0)
        result["residual_dense_modules"] = sum(name.endswith("|dense") for name in state.frozen)
        result["residual_bytes"] = 4 * sum(tensor.numel() for tensor in state.frozen.values())
    return result


def clients_table(data: FederatedData) -> dict[str, Any]:
    """Returns who holds what, for ``clients.json``."""
    table = data.clients.table(data.labels, len(data.label_names))
    return {
        "label_names": list(data.label_names),
        "table": np.asarray(table).tolist(),
        "sizes": np.asarray(data.clients.sizes).tolist(),
        "test_size": len(data.test),
        "duplicates": data.duplicates.plain(),
        "warnings": list(data.warnings),
    }
