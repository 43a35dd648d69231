"""Exit codes, sentences, and one JSON object on stdout."""

from __future__ import annotations

import json

import pytest

from qfedfm.cli.main import COMMANDS, invoke


def test_help_lists_every_command(capsys):
    assert invoke(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    assert invoke([name, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnu"], "there is no command 'rnu' (did you mean 'run'?)"),
        (["run"], "Missing argument 'FILE'"),
        (["run", "none.yaml"], "there is no such file"),
        (["run", "none.yaml", "--rounds", "3"], "No such option"),
        (["evaluate", "nowhere"], "nowhere"),
        (["predict", "nowhere", "text"], "holds no trained model"),
        (["report", "nowhere"], "holds no run"),
        (["runs", "nowhere"], "there is no such folder"),
        (["compare", "nowhere.yaml"], "there is no such file"),
    ],
)
def test_wrong_requests_exit_with_2_and_a_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke(arguments) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and "Traceback" not in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
    assert invoke([*arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert sentence in json.loads(captured.out)["error"]


def test_schema_is_json(capsys):
    assert invoke(["schema"]) == 0
    assert "federation" in json.loads(capsys.readouterr().out)["properties"]


def test_warnings_go_to_the_stderr_of_each_call(capsys):
    import logging

    for number in range(2):
        assert invoke(["schema"]) == 0
        logging.getLogger("qfedfm.test").warning("warned %d", number)
        assert f"warning: warned {number}" in capsys.readouterr().err
