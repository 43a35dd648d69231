"""A finished run, seen from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import RequestError
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.folder import RunFolder, read_lines
from qfedfm.experiment.loading import experiment, read_yaml
from qfedfm.experiment.personal import personal_vector
from qfedfm.experiment.quantities import count, duration, size

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from qfedfm.models import TrainedModel


class Run:
    """The records of one run.

    Args:
        folder: The run's folder.

    Raises:
        RequestError: If there is no run in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._records = RunFolder(self.folder)
        if not self._records.config.is_file():
            raise RequestError(f"{self.folder}: holds no run (no config.yaml); give a run's folder")

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def complete(self) -> bool:
        """Whether the run has reached its end."""
        return self._records.summary.is_file()

    @property
    def experiment(self) -> Experiment:
        """The complete configuration."""
        return experiment(read_yaml(self._records.config), source=str(self._records.config))

    @property
    def summary(self) -> dict[str, Any]:
        """The headline numbers (``summary.json``)."""
        return self._records.read_json("summary.json")

    @property
    def scores(self) -> dict[str, Any]:
        """Accuracy, macro-F1, per class and calibration on test data, with intervals."""
        return self._records.read_json("scores.json")

    @property
    def rounds(self) -> pd.DataFrame:
        """One row a round, from ``rounds.jsonl`` and ``timings.jsonl``; row 0 is before training."""
        import pandas as pd

        frame = pd.DataFrame(read_lines(self._records.rounds)).set_index("round")
        timings = pd.DataFrame(read_lines(self._records.timings))
        return frame.join(timings.set_index("round")) if len(timings) else frame

    def model(self) -> TrainedModel:
        """Returns the trained model; it predicts on raw inputs."""
        return load_model(self.folder)

    def plot(self) -> Figure:
        """Returns loss and accuracy over the rounds as a matplotlib figure."""
        from matplotlib.figure import Figure

        rounds = self.rounds
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, quantity in ((left, "loss"), (right, "accuracy")):
            for part in ("train", "validation", "test"):
                column = f"{part}_{quantity}"
                if column in rounds:
                    known = rounds[column].dropna()
                    axes.plot(known.index, known.to_numpy(), marker="o", markersize=3, label=part)
            axes.set_xlabel("round")
            axes.set_ylabel(quantity)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend()
        right.axhline(self.summary["majority_accuracy"], linestyle=":", color="gray")
        figure.suptitle(self.summary["name"])
        return figure

    def describe(self) -> str:
        """Returns the headline numbers as a few lines of text."""
        found = self.summary
        low, high = found["test_accuracy_interval"] or (None, None)
        between = f" (95 % interval {low:.4f} to {high:.4f})" if low is not None else ""
        lines = [
            f"{found['name']}: test accuracy {found['test_accuracy']:.4f}{between}, "
            f"majority class {found['majority_accuracy']:.4f}",
            f"  {found['rounds']} rounds in {duration(found['seconds'])}; "
            f"{count(found['trainable_parameters'])} trainable parameters, "
            f"{count(found['quantum_parameters'])} of them in the circuit",
            f"  {size(found['upload_bytes'])} up, {size(found['download_bytes'])} down, "
            f"{found['refused_updates']} updates refused",
        ]
        if "channel_bytes" in found:
            channel = self.experiment.security.channel
            bits = found["key_bits_used"] - found.get("sum_key_bits", 0)
            waited = found["key_wait_seconds"] - found.get("sum_key_wait_seconds", 0.0)
            lines.append(
                f"  sealed by {channel.kind} with {channel.cipher}: "
                f"{count(bits)} key bits drawn, "
                f"{duration(waited)} of simulated waiting, "
                f"{size(found['channel_bytes'])} more to send"
            )
        if "residual_bytes" in found:
            dense = found["residual_dense_modules"]
            whole = f", {dense} modules whole (adapter/base_weights.safetensors)" if dense else ""
            lines.append(
                f"  frozen weights changed: rank up to {found['residual_rank']}, "
                f"{size(found['residual_bytes'])}{whole}"
            )
        if "sum_protocol" in found:
            aborted = found["sum_aborted_rounds"]
            error = found["sum_relative_rmse"]
            lines.append(
                f"  sums by {found['sum_protocol']}: "
                + (f"relative error up to {error:.1e}, " if error is not None else "")
                + f"{count(found.get('sum_key_bits', found['key_bits_used']))} key bits"
                + (f", {aborted} rounds aborted" if aborted else "")
            )
        report = self.folder / "report.html"
        lines.append(f"  {report if report.exists() else self.folder}")
        return "\n".join(lines)


def load_model(run: str | Path | Run, client: int | None = None) -> TrainedModel:
    """Returns the trained model of a run; ``.predict(texts)`` gives labels with probabilities.

    Args:
        run: A run or its folder.
        client: Whose own model, where the run's method made personal ones; None for the global model.
    """
    from qfedfm.models import load_model_from_folder

    folder = run.folder if isinstance(run, Run) else Path(run)
    if not (folder / "model.json").is_file():
        raise RequestError(
            f"{folder}: holds no trained model (no model.json); give the folder of a complete run"
        )
    model = load_model_from_folder(folder)
    if client is not None:
        model.vector = personal_vector(folder, client).to(model.vector.device)
    return model


def list_runs(folder: str | Path) -> list[dict[str, Any]]:
    """Returns one object per run below ``folder``: name, status, rounds, accuracy, folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder; give the folder that holds the runs")
    found = []
    for path in sorted(folder.rglob("run.json")):
        records = RunFolder(path.parent)
        if not records.config.is_file():
            continue
        config: Mapping[str, Any] = read_yaml(records.config)
        rounds = read_lines(records.rounds)
        measured = [line["test_accuracy"] for line in rounds if line.get("test_accuracy") is not None]
        found.append(
            {
                "name": config["name"],
                "folder": str(path.parent),
                "status": "complete" if records.summary.is_file() else "interrupted",
                "rounds": rounds[-1]["round"] if rounds else 0,
                "of": config["federation"]["rounds"],
                "test_accuracy": measured[-1] if measured else None,
            }
        )
    return found
