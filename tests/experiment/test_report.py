"""The report, on synthetic run folders of the recorded format, read as text and in a browser."""

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml

from qfedfm.core.errors import RequestError
from qfedfm.experiment.report import group_runs, write_comparison_report, write_report

NASTY = "<script>document.title='taken'</script>"
LABELS = ["linear algebra", "statistics", "graphs", "signal processing", "optimisation", "neural networks"]


def make_run(
    folder: Path,
    *,
    name: str = "quickstart",
    seed: int = 7,
    rounds: int = 5,
    clients: int = 10,
    labels: list[str] | None = None,
    head: dict | None = None,
    accuracy: float = 0.8,
    faults: bool = True,
    complete: bool = True,
) -> Path:
    """Writes a run's folder as `qfedfm run` does, with invented numbers."""
    labels = LABELS if labels is None else labels
    head = head or {
        "kind": "quantum",
        "qubits": 4,
        "layers": 2,
        "family": "strongly_entangling",
        "options": {},
        "executor": "statevector",
    }
    r = np.random.default_rng([seed, round(1000 * accuracy)])
    folder.mkdir(parents=True)
    config = {
        "name": name,
        "seed": seed,
        "data": {
            "source": "docstrings",
            "max_length": 64,
            "partition": {"kind": "dirichlet", "clients": clients, "alpha": 0.3, "min_samples": 8},
        },
        "model": {
            "backbone": "minilm",
            "adapter": {
                "kind": "lora",
                "rank": 8,
                "alpha": 16,
                "targets": ["query", "value"],
                "last_layers": 2,
            },
            "head": head,
            "precision": "float32",
        },
        "federation": {"rounds": rounds, "cohort": clients, "engine": "local"},
        "client": {"epochs": 1, "batch_size": 32, "optimizer": {"kind": "adamw", "lr": 0.001}},
        "aggregation": {"kind": "fedavg"},
        "stages": [],
        "track": [],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    packages = {"qfedfm": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"}
    environment = {"python": "3.11.9", "processor": "a processor", "cores": 2, "threads": 2, "device": "cpu"}
    dump(folder, "environment.json", environment | {"git_commit": "abc1234", "packages": packages})
    table = (r.dirichlet([0.3] * clients, len(labels)).T * 60 * clients).astype(int) + 1
    record = {
        "label_names": labels,
        "table": table.tolist(),
        "sizes": table.sum(axis=1).tolist(),
        "test_size": 500,
        "duplicates": {"texts": 3, "samples": 6, "client_pairs": 2, "largest": [[0, 4]]},
        "warnings": [],
    }
    lines, timings = [{"round": 0, "test_loss": 1.8, "test_accuracy": 0.17}], []
    for i in range(1, rounds + 1):
        learned = 1 - np.exp(-4 * i / rounds)
        lines.append(
            {
                "round": i,
                "cohort": list(range(clients)),
                "participants": list(range(clients - 2 if faults and i > 1 else clients)),
                "dropped": [clients - 1] if faults and i > 1 else [],
                "stragglers": [0] if faults and i > 2 else [],
                "refused": [{"client": clients - 2, "reason": f"not finite: {NASTY}"}]
                if faults and i > 1
                else [],
                "examples": 1600,
                "steps": 50,
                "train_loss": 1.8 - 1.35 * learned + 0.02 * r.random(),
                "test_loss": 1.8 - 1.2 * learned + 0.02 * r.random(),
                "test_accuracy": 0.17 + (accuracy - 0.17) * learned + 0.02 * r.random(),
                "upload_bytes": 1_210_000 * clients,
                "download_bytes": 1_205_000 * clients,
                "update_norm": 2.0 - 1.5 * learned,
            }
        )
        train = 3 + r.random()
        timings.append(
            {
                "round": i,
                "seconds": train + 1.1,
                "train_seconds": train,
                "aggregate_seconds": 0.02,
                "evaluate_seconds": 1.0,
                "checkpoint_seconds": 0.08,
            }
        )
    for file, content in (("rounds.jsonl", lines), ("timings.jsonl", timings)):
        (folder / file).write_text("".join(json.dumps(line) + "\n" for line in content))
    if not complete:
        dump(folder, "clients.json", record)
        return folder
    record["accuracy"] = [
        {
            "client": k,
            "accuracy": float(np.clip(accuracy + 0.1 * r.normal(), 0, 1)),
            "examples": int(n),
            "on": "train",
        }
        for k, n in enumerate(record["sizes"][:100])
    ]
    dump(folder, "clients.json", record)
    from qfedfm.core.random import Streams
    from qfedfm.experiment.scores import score

    y = r.integers(0, len(labels), 500)
    x = r.normal(size=(500, len(labels)))
    x[np.arange(500), y] += 2.5
    scores = score(x, y, labels, Streams(seed), count=200)
    dump(folder, "scores.json", scores.plain())
    last = lines[-1]
    summary = {
        "name": name,
        "config_hash": "0" * 64,
        "run_id": f"{seed:064x}",
        "status": "complete",
        "seed": seed,
        "rounds": rounds,
        "seconds": sum(t["seconds"] for t in timings),
        "test_accuracy": last["test_accuracy"],
        "test_accuracy_interval": [last["test_accuracy"] - 0.035, last["test_accuracy"] + 0.03],
        "test_loss": last["test_loss"],
        "test_macro_f1": 0.77,
        "validation_accuracy": None,
        "majority_accuracy": 0.212,
        "trainable_parameters": 50_342,
        "quantum_parameters": 24 if "quantum" in head["kind"] else 0,
        "upload_bytes": sum(line.get("upload_bytes", 0) for line in lines),
        "download_bytes": sum(line.get("download_bytes", 0) for line in lines),
        "refused_updates": sum(len(line.get("refused", ())) for line in lines),
        "classes": len(labels),
        "clients": clients,
        "train_examples": int(table.sum()),
        "test_examples": 500,
    }
    dump(folder, "summary.json", summary)
    return folder


def dump(folder: Path, name: str, content: dict) -> None:
    (folder / name).write_text(json.dumps(content, allow_nan=False))


def words(page: str) -> str:
    """Returns a page's text without markup, style and script."""
    body = page.partition("<body>")[2]
    body = re.sub(r"<(script|style)>.*?</\1>", " ", body, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = write_report(make_run(tmp_path_factory.mktemp("runs") / "quickstart-0badcafe"))
    assert path.name == "report.html"
    return path.read_text()


def test_the_report_says_everything(page):
    text = words(page)
    for expected in (
        "quickstart",
        "95 % interval",
        "Majority accuracy 0.212",
        "Trained parameters 50 342",
        "Quantum parameters 24",
        "121 MB",
        "Refused updates 4",
        "dirichlet (alpha 0.3)",
        "lora adapter (rank 8, last layers 2)",
        "Accuracy by round",
        "Loss by round",
        "Accuracy by client",
        "Classes per client",
        "Bytes by round",
        "Seconds by round",
        "Clients by round",
        "strongly_entangling, 2 layers: 4 qubits",
        "zero gradient",
        "linear algebra",
        "Confusion matrix",
        "cohort: 10",
        "packages.torch 2.13.0",
        "qfedfm run quickstart-0badcafe/config.yaml",
        "commit abc1234",
    ):
        assert expected in text, expected
    assert "nan" not in text.lower().split()


def test_the_page_is_one_file_under_a_strict_policy(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
    assert " style=" not in page
    assert not re.search(r'(src|href|action|data|srcset)="(?!data:,"|#)', page)
    assert "url(" not in page and "@import" not in page
    for chart in re.findall(r'<svg class="chart".*?</svg>', page, flags=re.S):
        assert re.match(
            r'<svg class="chart"[^>]*aria-labelledby[^>]*><title id="\w+">[^<]+</title><desc ', chart
        )
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert len(page) < 200_000


def test_what_comes_from_data_is_escaped(tmp_path):
    labels = [NASTY, 'a" onload="x', "c & d"]
    page = write_report(make_run(tmp_path / "run", labels=labels, name=NASTY)).read_text()
    assert "<script>document" not in page and 'onload="' not in page
    assert page.count("<script>") == 1
    assert NASTY in words(page) and "not finite: " + NASTY in words(page)
    out = write_comparison_report({NASTY: [tmp_path / "run"]}, tmp_path / "c.html", title=NASTY).read_text()
    assert out.count("<script>") == 1 and NASTY in words(out)


def test_parts_that_are_not_there_are_left_out(tmp_path):
    run = make_run(tmp_path / "run", head={"kind": "linear"}, faults=False, complete=False)
    text = words(write_report(run).read_text())
    assert "This run is not complete: 5 of 5 rounds" in text
    assert "Circuit" not in text and "Accuracy by client" not in text
    assert "no update was refused" in text
    (run / "rounds.jsonl").write_text('{"round": 0, "test_loss": 1.8, "test_accuracy": 0.17}\n{"rou')
    (run / "timings.jsonl").unlink()
    text = words(write_report(run).read_text())
    assert "0 of 5 rounds" in text and "0.170" in text
    (run / "rounds.jsonl").unlink()
    assert "How to reproduce" in words(write_report(run).read_text())


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"no config\.yaml"):
        write_report(tmp_path)
    run = make_run(tmp_path / "run")
    (run / "summary.json").write_text("{")
    with pytest.raises(RequestError, match=r"summary\.json: is not a JSON file"):
        write_report(run)


def test_many_rounds_clients_and_classes_stay_small(tmp_path):
    labels = [f"class number {i}" for i in range(77)]
    run = make_run(tmp_path / "run", rounds=2000, clients=300, labels=labels)
    page = write_report(run).read_text()
    assert "120 drawn, evenly spaced by size" in words(page)
    assert "mean of 17 neighbours a bar" in words(page)
    assert len(page) < 4_000_000


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    root = tmp_path_factory.mktemp("several")
    heads = {
        "linear": ({"kind": "linear"}, 0.82),
        "matched_mlp": ({"kind": "matched_mlp", "qubits": 4}, 0.80),
    }
    heads["quantum"] = (None, 0.76)
    return [
        make_run(root / f"heads-{kind}-{seed}", name="heads", seed=seed, head=head, accuracy=value, rounds=8)
        for kind, (head, value) in heads.items()
        for seed in range(3)
    ]


def test_runs_are_grouped_by_all_but_the_seed_and_named_by_what_differs(several, tmp_path):
    groups = group_runs(several)
    assert list(groups) == ["linear", "matched_mlp", "quantum"]
    assert [len(g) for g in groups.values()] == [3, 3, 3]
    assert list(group_runs(several[:3])) == ["heads"]
    with pytest.raises(RequestError, match="twice"):
        group_runs([several[0], several[0]])
    text = words(write_comparison_report(several, tmp_path / "c.html").read_text())
    for expected in (
        "3 configurations, 9 runs, seeds 0, 1, 2",
        "Paired difference",
        "model.head.kind",
        "Holm",
    ):
        assert expected in text
    with pytest.raises(RequestError, match="no run"):
        write_comparison_report({"a": []}, tmp_path / "c.html")


# In a browser ---------------------------------------------------------------------------------------------


class Recorder(http.server.ThreadingHTTPServer):
    """A proxy that forwards nothing and remembers the hosts that were asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hosts: set[str] = set()


class Handler(http.server.BaseHTTPRequestHandler):
    def record(self):
        url = self.path if "://" in self.path else f"https://{self.path}"
        self.server.hosts.add(urlsplit(url).hostname)
        self.send_error(502)

    do_GET = do_POST = do_CONNECT = do_HEAD = record

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def chromium():
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if binary is None:
        assert not os.environ.get("CI"), "CI must have a Chromium to open the report in"
        pytest.skip("no chromium binary was found")
    return binary


def opened(binary: str, page: Path, folder: Path) -> tuple[str, set[str]]:
    """Opens a page; returns its document after scripts ran, and what it asked of the network.

    A browser asks for updates and the time by itself. Its log says of every request who made it; what
    reached the proxy and is not the browser's own belongs to the page, and so does every request that the
    log gives to a document.
    """
    folder.mkdir()
    with Recorder() as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        switches = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage "
            "--disable-background-networking --disable-component-update --disable-sync "
            "--allow-file-access-from-files --virtual-time-budget=3000 --dump-dom"
        ).split()
        switches += [
            f"--user-data-dir={folder}",
            f"--proxy-server=127.0.0.1:{proxy.server_address[1]}",
            "--proxy-bypass-list=<-loopback>",
            f"--log-net-log={folder / 'net.json'}",
        ]
        result = subprocess.run(
            [binary, *switches, page.as_uri()], capture_output=True, text=True, timeout=90, check=True
        )
        proxy.shutdown()
    log = json.loads((folder / "net.json").read_text())
    started = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    requests = [e["params"] for e in log["events"] if e["type"] == started and "url" in e.get("params", {})]
    asked = {r["url"] for r in requests if r.get("initiator") != "not an origin"}
    asked = {url for url in asked if not url.startswith(("data:", "file:", "blob:"))}
    own = {urlsplit(r["url"]).hostname for r in requests if r.get("initiator") == "not an origin"}
    return result.stdout, asked | (proxy.hosts - own)


def without_policy(page: str) -> str:
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)


def test_no_request_leaves_the_page_and_one_would_be_seen(chromium, page, tmp_path):
    """The report asks for nothing even where nothing forbids it; the same page with one picture is caught."""
    free, caught, held = tmp_path / "free.html", tmp_path / "caught.html", tmp_path / "held.html"
    picture = (
        '<img src="http://example.invalid/picture.png"><link rel="preconnect" href="https://early.invalid">'
    )
    free.write_text(without_policy(page))
    caught.write_text(without_policy(page).replace("<main>", f"<main>{picture}"))
    held.write_text(page.replace("<main>", f"<main>{picture}"))
    dom, asked = opened(chromium, free, tmp_path / "a")
    assert "Test accuracy" in words(dom) and asked == set()
    assert {"http://example.invalid/picture.png", "example.invalid"} <= opened(
        chromium, caught, tmp_path / "b"
    )[1]
    # The policy holds back what the page would ask for.
    assert "example.invalid" not in str(opened(chromium, held, tmp_path / "c")[1])


MEASURE = """
onload = () => {
  for (const frame of [...document.querySelectorAll("iframe")]) {
    const page = frame.contentDocument, said = document.createElement("p");
    const colour = getComputedStyle(page.querySelector(".bar, .mark")).fill;
    const part = page.querySelector(".column rect");
    const at = { bubbles: true, clientX: 99, clientY: 99 };
    part.dispatchEvent(new page.defaultView.PointerEvent("pointermove", at));
    const tip = page.getElementById("tooltip").innerText.split("\\n")[0];
    const tips = page.querySelectorAll("[data-tip]").length;
    const width = page.documentElement.scrollWidth;
    said.textContent = [page.title, width, tips, tip, colour, page.body.innerText].join("|");
    document.body.append(said);
  }
}
"""


def test_rendered_text_script_and_narrow_screens(chromium, page, several, tmp_path):
    """Under its policy the page shows its text, its script runs, and 360 px never scroll sideways."""
    (tmp_path / "run.html").write_text(page)
    nasty = write_report(make_run(tmp_path / "run", labels=[NASTY, "b" * 60], name="n" * 64))
    shutil.copy(nasty, tmp_path / "nasty.html")
    write_comparison_report(several, tmp_path / "several.html")
    frames = "".join(
        f'<iframe src="{n}.html" width="360" height="700"></iframe>' for n in ("run", "nasty", "several")
    )
    (tmp_path / "frames.html").write_text(f"<!doctype html><body>{frames}<script>{MEASURE}</script>")
    dom, asked = opened(chromium, tmp_path / "frames.html", tmp_path / "profile")
    assert asked == set()
    found = [unescape(p).split("|", 5) for p in re.findall(r"<p>(.*?)</p>", dom, flags=re.S)]
    assert [title for title, *_ in found] == [
        "quickstart · qfedfm report",
        f"{'n' * 64} · qfedfm report",
        "Comparison · qfedfm",
    ]
    for title, width, tips, tip, colour, text in found:
        assert int(width) <= 360, title
        assert int(tips) > 20, title  # the script ran under the policy
        assert tip == "Round 0", title  # and shows what is pointed at
        assert colour in ("rgb(0, 114, 178)", "rgb(98, 180, 234)"), title  # and the style sheet applies
        assert "ccuracy" in text
    assert "Who holds what" in found[0][5] and "How to reproduce" in found[0][5]
    assert NASTY in found[1][5]
    assert "What differs" in found[2][5]
