"""``qfedfm evaluate`` and ``qfedfm predict``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="A file instead of the run's own test data.")
@click.option("--text", help="Its text column (default: as in the run).")
@click.option("--label", help="Its label column (default: as in the run).")
@click.option("--executor", help="Where the circuit runs (default: as in the run).")
@click.option("--shots", type=click.IntRange(min=1), help="Estimate expectation values from so many shots.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seeds shots and intervals.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as one JSON object.")
def evaluate(
    run: Path,
    data: Path | None,
    text: str | None,
    label: str | None,
    executor: str | None,
    shots: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Score the model of RUN: accuracy, macro-F1, per class, calibration, each with a 95 % interval."""
    from qfedfm.cli.main import print_json
    from qfedfm.experiment.scoring import describe, evaluate_run

    found = evaluate_run(run, data=data, text=text, label=label, executor=executor, shots=shots, seed=seed)
    if as_json:
        print_json(found)
        return
    click.echo(describe(found))


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("texts", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the predictions as one JSON object.")
def predict(run: Path, texts: tuple[str, ...], as_json: bool) -> None:
    """Predict the class of each of TEXTS (or of each line of standard input) with the model of RUN."""
    import sys

    from qfedfm.cli.main import print_json
    from qfedfm.core.errors import RequestError
    from qfedfm.experiment.results import load_model

    lines = list(texts) or [line.strip() for line in sys.stdin if line.strip()]
    if not lines:
        raise RequestError('predict: no text; give one, for example qfedfm predict RUN "a text"')
    predictions = load_model(run).predict(lines)
    if as_json:
        print_json(
            {
                "predictions": [
                    {"text": line, "label": label, "probability": probability}
                    for line, (label, probability) in zip(lines, predictions, strict=True)
                ]
            }
        )
        return
    for line, (label, probability) in zip(lines, predictions, strict=True):
        click.echo(f"{label}\t{probability:.3f}\t{line}")
