import sys

import pytest

from qfedfm.core.errors import RequestError
from qfedfm.experiment.tracker import open_trackers, scalars

RECORD = {
    "round": 2,
    "participants": [0, 1],
    "dropped": [3],
    "stragglers": [],
    "refused": [],
    "train_loss": 0.5,
    "test_loss": float("nan"),
    "test_accuracy": 0.75,
    "upload_bytes": 100,
    "validation_loss": None,
}
TIMING = {"round": 2, "seconds": 3.0, "train_seconds": 2.5}


def test_scalars_have_stable_names_and_leave_out_what_is_no_number():
    assert scalars(RECORD, TIMING) == {
        "loss/train": 0.5,
        "accuracy/test": 0.75,
        "bytes/upload": 100.0,
        "clients/participants": 2.0,
        "clients/dropped": 1.0,
        "clients/stragglers": 0.0,
        "clients/refused": 0.0,
        "seconds/round": 3.0,
        "seconds/train": 2.5,
    }


def test_tensorboard_reads_back_what_was_sent(tmp_path):
    pytest.importorskip("tensorboard")
    (tracker,) = open_trackers(["tensorboard"], tmp_path)
    tracker.round(RECORD, TIMING)
    tracker.round(RECORD | {"round": 3, "test_accuracy": 0.8})
    tracker.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("accuracy/test")] == [
        (2, pytest.approx(0.75)),
        (3, pytest.approx(0.8)),
    ]
    assert "loss/test" not in events.Tags()["scalars"]


def test_a_missing_package_and_an_unknown_name_are_explained(tmp_path, monkeypatch):
    assert open_trackers([], tmp_path) == ()
    with pytest.raises(RequestError, match="did you mean 'tensorboard'"):
        open_trackers(["tensorbord"], tmp_path)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RequestError, match=r"qfedfm\[tensorboard\]"):
        open_trackers(["tensorboard"], tmp_path)
    assert list(tmp_path.iterdir()) == []
