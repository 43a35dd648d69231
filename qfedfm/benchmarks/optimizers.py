"""Optimizers of a comparison file round by round: loss beside circuits, bytes and time.

``qfedfm compare`` gives the table of final accuracies with paired tests; this gives the curves. Each cell
chooses its learning rate on the validation loss of one seed; the curves are of further seeds as well.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qfedfm.core.random import Streams
from qfedfm.experiment.comparison_file import base_of, read_file
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.grid import grid
from qfedfm.experiment.loading import experiment, override


def measure(
    path: Path, rates: Sequence[float] = (0.03, 0.1, 0.3), seeds: Sequence[int] = (0, 1, 2, 3, 4)
) -> dict[str, Any]:
    """Returns curves of every cell of a comparison file.

    Args:
        path: The file; its cells vary the optimizer.
        rates: Learning rates to choose from, by the last validation loss of the first seed.
        seeds: Seeds of the curves.

    Returns:
        ``cells``, each with its label, the chosen rate, the search, the circuits that a step takes per client
        and sample, and a curve for each seed: per round validation and test loss and accuracy, and so far
        circuits, bytes and processor seconds of training.
    """
    from qfedfm.models.heads import QuantumConfig
    from qfedfm.optim.circuits.cost import circuits_a_step

    file = read_file(path)
    base, cells = base_of(file, path), []
    for cell in grid(file.vary):
        search = {}
        for rate in rates:
            settings = {**cell.settings, "client.optimizer.lr": rate, "seed": seeds[0]}
            search[rate] = curve(experiment(override(base, settings)))
        best = min(rates, key=lambda rate: search[rate][-1]["validation_loss"])
        made = [search[best]]
        for seed in seeds[1:]:
            settings = {**cell.settings, "client.optimizer.lr": best, "seed": seed}
            made.append(curve(experiment(override(base, settings))))
        chosen = experiment(override(base, cell.settings))
        head = chosen.model.head
        assert isinstance(head, QuantumConfig)
        cells.append(
            {
                "label": cell.label,
                "rate": best,
                "search": {str(rate): points[-1]["validation_loss"] for rate, points in search.items()},
                "circuits_a_step": circuits_a_step(chosen.client.optimizer, head.build_circuit()),
                "curves": made,
            }
        )
    return {"file": path.name, "rates": list(rates), "seeds": list(seeds), "cells": cells}


def curve(config: Experiment) -> list[dict[str, float]]:
    """Returns the rounds of one experiment, from 0, without a run's folder."""
    from qfedfm import data as data_room
    from qfedfm import models
    from qfedfm.experiment.evaluation import headline, logits_of
    from qfedfm.experiment.parts import make_engine, make_plan, seeded
    from qfedfm.experiment.running import resolve
    from qfedfm.federation.messages import ByteCounter
    from qfedfm.federation.round import run_round
    from qfedfm.federation.store import ClientStore
    from qfedfm.optim.circuits.cost import circuits_a_step

    config, device = resolve(config)
    streams = Streams(config.seed)
    data = data_room.load(config.data, streams.at("data"))
    built = models.build(
        config.model, data, max_length=config.data.max_length, device=device, streams=streams.at("model")
    )
    model = seeded(config, built, streams)
    plan, counter = make_plan(config, data), ByteCounter()
    engine = make_engine(config, data, model, ClientStore())
    state = plan.initial_state(model.initial(), streams.at("federation"))
    price = 0 if model.circuit is None else circuits_a_step(config.client.optimizer, model.circuit)
    points: list[dict[str, float]] = []
    circuits = spent = seconds = 0.0
    while True:
        scores: dict[str, float] = {}
        for name, index in (("test", data.test), ("validation", data.clients.validation_indices)):
            loss, accuracy = headline(logits_of(model, state.model, index), data.labels[index])
            scores |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
        points.append(scores | {"circuits": circuits, "bytes": spent, "seconds": seconds})
        if state.round == config.federation.rounds:
            return points
        began = time.process_time()
        state, record = run_round(state, plan, engine, counter)
        seconds += time.process_time() - began
        circuits += float(price * record.steps * config.client.batch_size)
        spent += float(record.upload_bytes + record.download_bytes)
