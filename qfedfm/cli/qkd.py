"""``qfedfm qkd``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click


@click.group()
def qkd() -> None:
    """Quantum key distribution: rates, a link pulse by pulse, a key manager."""


@qkd.command("rate")
@click.option(
    "--protocol", default="decoy-bb84", show_default=True, help="bb84, decoy-bb84, e91, mdi, tf, ..."
)
@click.option("--preset", "preset_name", default="gys", show_default=True, help="The link.")
@click.option("--distance", "distances", type=float, multiple=True, help="Kilometres; may be repeated.")
@click.option(
    "--decoys", default="vacuum+weak", show_default=True, help="vacuum+weak or infinite (decoy-bb84)."
)
@click.option(
    "--block", "blocks", type=float, multiple=True, help="Block size of a finite key; may be repeated."
)
@click.option("--reach", "with_reach", is_flag=True, help="Also the largest distance with a key.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw all protocols over this preset to a file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def rate_command(
    protocol: str,
    preset_name: str,
    distances: tuple[float, ...],
    decoys: str,
    blocks: tuple[float, ...],
    with_reach: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Key rates by formula.

    Without a block size rates are asymptotic. decoy-bb84 with one is Lim et al., 2014, with the best
    intensities; bb84 with one is Tomamichel et al., 2012.
    """
    from qfedfm.cli.main import print_json
    from qfedfm.security.qkd.rates import plob, preset, rate, reach

    link = preset(preset_name)
    points: list[dict[str, Any]] = []
    for block in blocks or (None,):
        for distance in distances or (0.0,):
            point = rate(protocol, link, distance, decoys=decoys, block=block)
            bound = plob(link.channel(distance))
            points.append(
                {
                    "protocol": protocol,
                    "preset": preset_name,
                    "distance_km": distance,
                    "key_rate_per_pulse": point.key_rate_per_pulse,
                    "key_rate": point.key_rate_per_pulse * link.pulse_rate,
                    "qber": point.qber,
                    "gain": point.gain,
                    "single_photon_yield": point.single_photon_yield,
                    "single_photon_error": point.single_photon_error,
                    "plob": bound if math.isfinite(bound) else None,
                    **({"block": block} if block is not None else {}),
                    **point.details,
                }
            )
    found: dict[str, Any] = dict(points[0]) if len(points) == 1 else {"points": points}
    if with_reach:
        found["reach_km"] = reach(protocol, link, decoys=decoys, block=blocks[0] if blocks else None)
    if plot is not None:
        from qfedfm.security.qkd.plots import rates_by_distance

        rates_by_distance(link, preset_name).savefig(plot)
        found["plot"] = str(plot)
    if as_json:
        print_json(found)
        return
    click.echo(f"{'km':>8} {'key per pulse':>14} {'key per second':>15} {'QBER':>7} {'PLOB':>10}")
    for entry in points:
        shown = "" if entry["plob"] is None else f"{entry['plob']:.4g}"
        click.echo(
            f"{entry['distance_km']:8g} {entry['key_rate_per_pulse']:14.5g} {entry['key_rate']:15.5g} "
            f"{entry['qber']:7.4f} {shown:>10}"
        )
    if with_reach:
        click.echo(f"reach {found['reach_km']:.3f} km")
    if plot is not None:
        click.echo(f"drawn to {plot}")


@qkd.command("link")
@click.option("--preset", "preset_name", default="metropolitan", show_default=True, help="The link.")
@click.option("--distance", type=float, default=25.0, show_default=True, help="Kilometres.")
@click.option("--block", type=click.IntRange(10_000, 5_000_000), default=200_000, show_default=True)
@click.option("--source", type=click.Choice(["weak", "single", "pairs"]), default="weak", show_default=True)
@click.option(
    "--eve",
    type=click.Choice(["none", "intercept_resend", "photon_number_splitting", "tampering"]),
    default="none",
    show_default=True,
)
@click.option(
    "--fraction", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Intercepted share."
)
@click.option("--bases", type=click.Choice(["random", "x", "z"]), default="random", show_default=True)
@click.option("--message", default="parity", show_default=True, help="Which message is tampered with.")
@click.option("--bit", type=click.IntRange(min=0), default=0, show_default=True, help="Which of its bits.")
@click.option(
    "--cascade", default="option7", show_default=True, help="original, option3, option4 or option7."
)
@click.option(
    "--own-parameters", is_flag=True, help="Keep the preset's intensities; else the best are found."
)
@click.option(
    "--seed", type=int, help="Makes the session reproducible; its key is then for no use but study."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def link_command(
    preset_name: str,
    distance: float,
    block: int,
    source: str,
    eve: str,
    fraction: float,
    bases: str,
    message: str,
    bit: int,
    cascade: str,
    own_parameters: bool,
    seed: int | None,
    as_json: bool,
) -> None:
    """Run one session pulse by pulse; exit code 1 if it ends without a key."""
    import secrets

    from qfedfm.cli.main import print_json
    from qfedfm.core.errors import RequestError
    from qfedfm.core.random import Streams
    from qfedfm.security.qkd.link.describing import describe
    from qfedfm.security.qkd.link.distillation import Distillation
    from qfedfm.security.qkd.link.entangled import run_entangled_session
    from qfedfm.security.qkd.link.eve import (
        MESSAGES,
        InterceptResend,
        NoEve,
        PhotonNumberSplitting,
        Tampering,
    )
    from qfedfm.security.qkd.link.pulses import AnyEve
    from qfedfm.security.qkd.link.session import Outcome, pulses_for, run_session
    from qfedfm.security.qkd.rates import preset
    from qfedfm.security.qkd.rates.lim_optimum import optimised
    from qfedfm.security.qkd.rates.single_photon import single_photon

    if message not in MESSAGES:
        raise RequestError(f"--message {message}: one of {', '.join(MESSAGES)}")
    if cascade not in ("original", "option3", "option4", "option7"):
        raise RequestError(f"--cascade {cascade}: one of original, option3, option4, option7")
    if not (distance >= 0 and math.isfinite(distance)):
        raise RequestError(f"--distance {distance:g}: must be at least 0 km")
    streams = Streams(secrets.randbits(128) if seed is None else seed)
    options = Distillation.model_validate({"cascade": cascade})
    link = preset(preset_name)
    outcome: Outcome
    if source == "pairs":
        if eve not in ("none", "intercept_resend"):
            raise RequestError(f"--eve {eve}: pairs know none and intercept_resend")
        _, error = single_photon(link, distance)
        share = fraction if eve == "intercept_resend" else 0.0
        outcome = run_entangled_session(8 * block, error, streams, intercepted=share, options=options)
    else:
        if not own_parameters and source == "weak":
            link = optimised(link, distance, block)
        attacks: dict[str, AnyEve] = {
            "none": NoEve(),
            "intercept_resend": InterceptResend(fraction=fraction, bases=bases),
            "photon_number_splitting": PhotonNumberSplitting(),
            "tampering": Tampering(message=message, bit=bit),
        }
        if source == "single":
            gain, _ = single_photon(link, distance)
            pulses = round(block / (gain * link.basis_x**2))
        else:
            pulses = pulses_for(link, distance, block)
        if pulses > 20_000_000_000:
            raise RequestError(
                f"this session needs {pulses:.3g} pulses; choose a shorter --distance or a smaller --block"
            )
        outcome = run_session(
            link,
            distance,
            pulses,
            streams,
            eve=attacks[eve],
            source=source,  # type: ignore[arg-type]
            options=options,
        )
    found = describe(outcome, link, distance)
    if as_json:
        print_json(found)
    else:
        for key, value in found.items():
            shown = f"{value:.6g}" if isinstance(value, float) else value
            click.echo(f"{key.replace('_', ' '):<22} {shown}")
    if found["outcome"] != "key":
        raise click.exceptions.Exit(1)


@qkd.command("serve")
@click.option("--store", type=click.Path(path_type=Path), required=True, help="The key store, one file.")
@click.option("--certs", "folder", type=click.Path(path_type=Path), required=True, help="From qfedfm certs.")
@click.option("--name", default="localhost", show_default=True, help="The server's identity in that folder.")
@click.option("--pair", "pairs", multiple=True, required=True, metavar="SAE:SAE", help="May be repeated.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True)
@click.option(
    "--preset", "preset_name", default="metropolitan", show_default=True, help="The simulated link."
)
@click.option("--distance", type=float, default=25.0, show_default=True, help="Kilometres.")
@click.option("--block", type=click.IntRange(10_000, 5_000_000), default=200_000, show_default=True)
@click.option("--no-link", is_flag=True, help="Serve what the store holds; run no sessions.")
@click.option("--json", "as_json", is_flag=True, help="Print where it listens as one JSON object.")
def serve_command(
    store: Path,
    folder: Path,
    name: str,
    pairs: tuple[str, ...],
    host: str,
    port: int,
    preset_name: str,
    distance: float,
    block: int,
    no_link: bool,
    as_json: bool,
) -> None:
    """Serve keys of simulated links by ETSI GS QKD 014 with mutual TLS, until interrupted."""
    from qfedfm.security.qkd.serving import serve

    serve(
        store,
        folder,
        name,
        pairs,
        host=host,
        port=port,
        preset_name=preset_name,
        distance=distance,
        block=block,
        with_link=not no_link,
        as_json=as_json,
        say=click.echo,
    )
