import csv
import io
import json

import pytest
import scipy.stats

from qfedfm.core.errors import RequestError
from qfedfm.experiment.tables import COLUMNS, SHOWN, Row, build_table


def runs(values, **further):
    base = {
        "trainable_parameters": 3_850,
        "quantum_parameters": 0,
        "upload_bytes": 1_000_000,
        "download_bytes": 500_000,
        "seconds": 12.0,
    }
    return [{"seed": s, "test_accuracy": v, **base, **further} for s, v in values.items()]


LINEAR = {0: 0.80, 1: 0.82, 2: 0.79, 3: 0.85, 4: 0.81}
QUANTUM = {0: 0.77, 1: 0.80, 2: 0.78, 3: 0.81, 4: 0.79}
MATCHED = {0: 0.81, 1: 0.82, 2: 0.80, 3: 0.84, 4: 0.82}


@pytest.fixture(scope="module")
def table():
    return build_table(
        [
            Row("linear", runs(LINEAR), {"model.head.kind": "linear"}),
            Row("quantum", runs(QUANTUM, quantum_parameters=24), {"model.head.kind": "quantum"}),
            Row("matched_mlp", runs(MATCHED)),
        ]
    )


def test_numbers_are_scipys_on_pairs_and_corrected_by_holm(table):
    first, quantum, matched = table.rows
    assert first["mean"] == pytest.approx(0.814) and first["difference"] is None and first["p_t"] is None
    p = [
        float(scipy.stats.ttest_rel(list(other.values()), list(LINEAR.values())).pvalue)
        for other in (QUANTUM, MATCHED)
    ]
    assert p[0] < p[1]
    assert [quantum["p_t"], matched["p_t"]] == pytest.approx(p)
    assert [quantum["p_corrected"], matched["p_corrected"]] == pytest.approx([2 * p[0], p[1]])
    assert quantum["difference"] == pytest.approx(-0.024)
    assert quantum["difference_low"] < -0.024 < quantum["difference_high"] < 0
    assert quantum["p_sign_flip"] == 2 / 32 and quantum["pairs"] == 5
    assert (quantum["bytes"], quantum["seconds"], quantum["quantum_parameters"]) == (1_500_000, 12.0, 24)


def test_csv_has_the_same_columns_always_and_full_precision(table):
    lines = list(csv.DictReader(io.StringIO(table.csv())))
    assert tuple(lines[0]) == COLUMNS
    assert [line["cell"] for line in lines] == ["linear", "quantum", "matched_mlp"]
    assert lines[0]["difference"] == "" and float(lines[1]["difference"]) == table.rows[1]["difference"]
    assert json.loads(json.dumps(table.plain(), allow_nan=False))[1]["settings"] == {
        "model.head.kind": "quantum"
    }


def test_terminal_and_html_say_the_same(table):
    text, page = table.text(), table.html("heads <5 seeds>")
    assert all(column in text for column in SHOWN)
    assert "…" not in text
    for words in (
        "0.814 [0.785, 0.843]",
        "reference",
        "−0.024",
        "0.062",
        "3\u202f850",
        "1.5 MB",
        "12.0 s",
        "(Holm)",
    ):
        assert words in text and words in page
    assert "corrected for 2 comparisons" in text and "cannot go below 0.0625" in text
    assert "heads &lt;5 seeds&gt;" in page and "default-src 'none'" in page
    narrow = max(len(line) for line in table.text(width=100).splitlines())
    assert narrow <= 100


def test_rows_are_paired_by_seed_not_by_order():
    shuffled = {4: 0.79, 3: 0.81, 2: 0.78, 1: 0.80, 0: 0.77}
    again = build_table([Row("linear", runs(LINEAR)), Row("quantum", runs(shuffled))])
    straight = build_table([Row("linear", runs(LINEAR)), Row("quantum", runs(QUANTUM))])
    assert again.rows == straight.rows
    partly = build_table([Row("linear", runs(LINEAR)), Row("quantum", runs({3: 0.8, 4: 0.8, 9: 0.1}))])
    assert partly.rows[1]["pairs"] == 2 and partly.rows[1]["difference"] == pytest.approx(-0.03)
    apart = build_table([Row("linear", runs(LINEAR)), Row("quantum", runs({9: 0.1}))])
    assert apart.rows[1]["pairs"] == 0 and "No seed in common with linear: quantum." in apart.notes


def test_one_seed_claims_no_interval_and_no_test():
    table = build_table([Row("a", runs({0: 0.5})), Row("b", runs({0: 0.6}))])
    for row in table.rows:
        assert row["mean_low"] is None and row["p_t"] is None and row["p_sign_flip"] is None
    assert "no interval" in table.notes[0] and "no t-test is possible" in table.notes[1]
    assert "0.600" in table.text()


def test_what_cannot_be_compared_is_refused_in_words():
    cases = [
        ([], "nothing to compare"),
        ([Row("a", [])], "no finished run"),
        ([Row("a", runs({0: 0.5})), Row("a", runs({0: 0.5}))], "same label"),
        ([Row("a", runs({0: 0.5}) + runs({0: 0.6}))], "two runs of seed 0"),
        ([Row("a", runs({0: float("nan")}))], "no number 'test_accuracy'"),
    ]
    for rows, words in cases:
        with pytest.raises(RequestError, match=words):
            build_table(rows)
