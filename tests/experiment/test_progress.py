import io
import os
import pty
import select
import subprocess
import sys

import pytest

from qfedfm.experiment import quantities
from qfedfm.experiment.progress import (
    LineProgress,
    Pace,
    SilentProgress,
    TerminalProgress,
    measured,
    open_progress,
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


RECORD = {
    "round": 3,
    "train_loss": 0.51234,
    "test_loss": 0.6,
    "test_accuracy": 0.8125,
    "upload_bytes": 1_000_000,
    "download_bytes": 500_000,
    "refused": [{"client": 1, "reason": "not finite"}],
    "dropped": [],
}


def test_numbers_of_a_round_are_shown_and_missing_ones_left_out():
    assert measured(RECORD) == "train loss 0.512, test loss 0.600, accuracy 0.812, 1.5 MB, 1 refused"
    assert measured({"round": 0, "test_accuracy": 0.5}) == "accuracy 0.500"


def test_numbers_are_written_for_people():
    assert [quantities.duration(s) for s in (None, 0, 0.0421, 0.9996, 9.996, 12.34, 59.96, 185, 7620)] == [
        *("–", "0 s", "42.1 ms", "1.00 s", "10.0 s", "12.3 s"),
        *("1 min 00 s", "3 min 05 s", "2 h 07 min"),
    ]
    assert [quantities.size(b) for b in (None, 0, 999, 999_600, 1_234_567, 5e12)] == [
        *("–", "0 B", "999 B", "1 MB", "1.23 MB", "5 TB"),
    ]
    assert quantities.count(1234567) == "1\u202f234\u202f567" and quantities.signed(-0.5) == "−0.500"
    assert quantities.probability(0.0004) == "< 0.001" and quantities.interval(None, 1.0) == "–"


def test_time_left_counts_only_the_steps_of_this_process():
    clock = Clock()
    pace = Pace(clock)
    pace.start(10, 4)
    assert pace.left is None
    clock.now = 6.0
    pace.step(2)
    assert pace.left == pytest.approx(12.0)  # 2 steps took 6 s, 4 remain


def test_plain_lines_are_few_and_without_control_characters():
    stream, clock = io.StringIO(), Clock()
    with LineProgress(stream, clock) as progress:
        progress.phase("encoding texts", total=1000, unit="texts")
        for _ in range(10):
            clock.now += 1.0
            progress.advance(100)
        progress.phase("rounds", total=4, unit="rounds", done=2)
        clock.now += 2.0
        progress.round(RECORD)
        progress.note("a warning")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "encoding texts (1\u202f000 texts) ..."
    assert lines[1] == "encoding texts: 500/1\u202f000 texts, 5.00 s left"
    assert lines[2] == "encoding texts: done in 10.0 s"
    assert lines[3] == "rounds (4 rounds), 2 done before ..."
    assert lines[4].startswith("round 3/4: train loss 0.512") and lines[4].endswith(", 2.00 s left")
    assert lines[5:] == ["a warning", "rounds: done in 2.00 s"]
    assert not any(ord(c) < 32 and c != "\n" for c in stream.getvalue())


def test_the_display_suits_the_stream():
    assert isinstance(open_progress(quiet=True), SilentProgress)
    assert type(open_progress(stream=io.StringIO())) is LineProgress


def test_a_failure_does_not_claim_that_the_phase_is_done():
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), LineProgress(stream) as progress:
        progress.phase("rounds")
        raise KeyboardInterrupt
    assert "done" not in stream.getvalue()


def test_on_a_terminal_the_cursor_comes_back_after_an_interrupt(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        progress = open_progress(stream=stream)
        assert isinstance(progress, TerminalProgress)
        with pytest.raises(KeyboardInterrupt), progress:
            progress.phase("preparing data")
            progress.phase("rounds", total=4, unit="rounds")
            progress.round(RECORD)
            progress.note("[bold]shown as written[/bold]")
            raise KeyboardInterrupt
        shown = b""
        while select.select([leader], [], [], 0.2)[0]:
            shown += os.read(leader, 65_536)
        shown = shown.decode()
    os.close(leader)
    assert "1/4 rounds" in shown and "accuracy 0.812" in shown and "left" in shown
    assert "[bold]shown as written[/bold]" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_importing_is_light():
    code = (
        "import qfedfm.experiment.progress, sys; print(int('rich' in sys.modules or 'torch' in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "0"
