"""The experiment file: defaults, overrides, and one sentence for everything that is wrong with it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

import qfedfm
from qfedfm.core.errors import NotBuiltError, RequestError
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.loading import experiment, load


def test_every_key_has_a_default_and_the_complete_file_says_the_same():
    plain = Experiment().plain()
    assert plain["data"]["source"] == "docstrings"
    assert experiment(yaml.safe_load(yaml.safe_dump(plain))) == Experiment()


def test_overrides(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nmodel: {head: {kind: linear}}\n")
    found = qfedfm.load(
        path, ["federation.rounds=3", "model.head={kind: quantum, qubits: 3}", "client.optimizer.lr=1e-2"]
    )
    assert found.federation.rounds == 3 and found.model.head.kind == "quantum"
    assert found.client.optimizer.lr == 0.01
    assert load(path, {"seed": 5}).seed == 5
    assert load(path).federation.rounds == 5


WRONG = {
    "unknown key": ("federation: {roundz: 5}", "unknown key 'federation.roundz' (did you mean 'rounds'?)"),
    "unknown top key": ("modle: {}", "unknown key 'modle' (did you mean 'model'?)"),
    "unknown key in a union": (
        "model: {head: {kind: quantum, qubit: 4}}",
        "unknown key 'model.head.qubit' of kind quantum (did you mean 'qubits'?)",
    ),
    "a key of another kind": (
        "model: {head: {kind: linear, qubits: 4}}",
        "unknown key 'model.head.qubits' of kind linear",
    ),
    "unknown kind": (
        "model: {head: {kind: quantun}}",
        "model.head.kind is 'quantun' (did you mean 'quantum'?)",
    ),
    "unknown optimizer": (
        "client: {optimizer: {kind: adma}}",
        "client.optimizer.kind is 'adma' (did you mean 'adam'?)",
    ),
    "wrong type": ("federation: {rounds: five}", "federation.rounds: input should be a valid integer"),
    "group instead of value": ("federation: 5", "federation: "),
    "NaN learning rate": ("client: {optimizer: {kind: adamw, lr: .nan}}", "client.optimizer.lr: "),
    "infinite learning rate": ("client: {optimizer: {kind: sgd, lr: .inf}}", "client.optimizer.lr: "),
    "negative learning rate": ("client: {optimizer: {kind: sgd, lr: -1}}", "greater than 0"),
    "alpha 0": ("data: {partition: {kind: dirichlet, clients: 4, alpha: 0}}", "data.partition.alpha: "),
    "alpha negative": (
        "data: {partition: {kind: dirichlet, clients: 4, alpha: -1}}",
        "data.partition.alpha: ",
    ),
    "no clients": ("data: {partition: {kind: iid, clients: 0}}", "data.partition.clients: "),
    "cohort too large": (
        "{data: {partition: {kind: iid, clients: 4}}, federation: {cohort: 5}}",
        "federation.cohort is 5 but data.partition.clients is 4",
    ),
    "test fraction": ("data: {test_fraction: 1.5}", "data.test_fraction: "),
    "scaffold with adam": (
        "client: {algorithm: {kind: scaffold}}",
        "scaffold needs client.optimizer {kind: sgd}",
    ),
    "twice": ("name: a\nname: b\n", "the key 'name' stands twice"),
    "twice below": ("federation:\n  rounds: 1\n  rounds: 2\n", "the key 'rounds' stands twice (line 2)"),
    "not YAML": ("name: [a\n", "not valid YAML in line 2"),
    "empty": ("", "the file is empty"),
    "a list": ("- 1\n", "holds a list"),
    "a name that is a path": ("name: ../x", "name: "),
    "device": ("device: gpu", "device: input should be 'auto', 'cpu' or 'cuda' (got 'gpu')"),
    "negative seed": ("seed: -1", "seed: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_gets_one_sentence(name, tmp_path):
    content, sentence = WRONG[name]
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    with pytest.raises(RequestError) as found:
        load(path)
    said = str(found.value)
    assert sentence in said, said
    assert said.startswith(str(path)) and "\n" not in said


NOT_BUILT = {
    "trust: {}": "trust is not built yet",
}


@pytest.mark.parametrize("content", NOT_BUILT)
def test_a_part_that_is_not_built_is_refused_in_those_words(content, tmp_path):
    path = tmp_path / "later.yaml"
    path.write_text(content)
    with pytest.raises(NotBuiltError) as found:
        load(path)
    assert NOT_BUILT[content] in str(found.value)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(RequestError, match="there is no such file"):
        load(tmp_path / "none.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(RequestError, match="not UTF-8 text"):
        load(path)


@pytest.mark.parametrize("override", ["federation.rounds", "=3", "name.deeper=1", "federation.rounds=[1"])
def test_wrong_overrides(override, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\n")
    with pytest.raises(RequestError):
        load(path, [override])


HEAVY = "torch transformers peft pennylane qiskit pandas sklearn matplotlib scipy numba flwr".split()


def loaded_by(code: str) -> list[str]:
    check = f"{code}\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return eval(done.stdout.strip().splitlines()[-1])


def test_import_loads_nothing_heavy():
    assert loaded_by("import qfedfm") == []


def test_checking_a_file_loads_nothing_heavy(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nmodel: {head: {kind: quantum, qubits: 4}}\n")
    assert loaded_by(f"import qfedfm; qfedfm.load({str(path)!r})") == []


def test_help_loads_nothing_heavy():
    assert loaded_by("from qfedfm.cli.main import invoke; invoke(['--help'])") == []


def test_the_schema_names_every_key():
    schema = Experiment.model_json_schema()
    assert set(schema["properties"]) == set(Experiment.model_fields)
