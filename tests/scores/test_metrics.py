import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lingarith.errors import LingarithError
from lingarith.scores import answers, chrf, labels, spans
from lingarith.scores.metrics import METRICS, metric_of
from lingarith.scores.rouge import CallableTokenizer, rouge2

OUTPUTS = ["LOC: the old cat", "sports"]
REFERENCES = [["LOC: the cat", "LOC: the old dog"], ["sports"]]
MINE = """
def length(outputs, references):
    return [min(100, 10 * len(output)) for output in outputs]

def few(outputs, references):
    return [1.0]

def nan(outputs, references):
    return [1.0, float("nan")]

def large(outputs, references):
    return [1.0, 101]

def broken(outputs, references):
    return outputs[7]

value = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_scores.py").write_text(MINE)
    (tmp_path / "my_broken.py").write_text("raise RuntimeError('not today')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_scores", raising=False)
    return "my_scores"


def test_likelihood_reads_bits_per_byte() -> None:
    metric = METRICS["likelihood"]
    assert list(metric.score(["0", "1.00000", "3"], [["a"], ["b"], ["c"]])) == [100, 50, 12.5]
    assert metric.beside["Bits per byte"](["1.0", "3.0"], [["a"], ["b"]]) == 2


def test_each_is_its_function() -> None:
    functions = {
        "f1": answers.f1,
        "accuracy": labels.accuracy,
        "span_f1": spans.span_f1,
        "chrf": chrf.chrf,
    }
    for name, function in functions.items():
        assert metric_of(name) is METRICS[name]
        np.testing.assert_array_equal(
            METRICS[name].score(OUTPUTS, REFERENCES, None), function(OUTPUTS, REFERENCES), name
        )
    assert [metric.name for metric in METRICS.values()] == [
        "ROUGE-2",
        "F1",
        "Accuracy",
        "Span F1",
        "chrF",
        "Likelihood",
    ]
    assert METRICS["f1"].beside["Exact match"](["b", "b"], [["d"], ["c", "b"]]) == 50


def test_rouge_takes_the_best_reference_and_a_tokenizer() -> None:
    rouge = METRICS["rouge2"]
    assert rouge.tokenizer
    assert not any(metric.tokenizer for name, metric in METRICS.items() if name != "rouge2")
    first, second = (rouge2(OUTPUTS[:1], [one])[0] for one in REFERENCES[0])
    assert rouge.score(OUTPUTS, REFERENCES, None).tolist() == [max(first, second), 0]  # type: ignore[union-attr]
    letters = CallableTokenizer(list)
    assert list(rouge.score(OUTPUTS, REFERENCES, letters))[1] == 100
    with pytest.raises(LingarithError, match="1 outputs and references for 2"):
        rouge.score(["a"], [["a"], ["b"]], None)


def test_a_metric_of_one_s_own(mine: str) -> None:
    metric = metric_of(f"{mine}:length")
    assert (metric.name, metric.about) == ("length", "my_scores:length, 0 to 100")
    assert list(metric.score(["ab", "abcdefghijk"], [["x"], ["y"]], None)) == [20, 100]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("few", r"the metric 'my_scores:few' gave scores of shape \(1,\) for 2 outputs; it must return a list of one"),
        ("nan", "the metric 'my_scores:nan' gave output 1 the score nan; 0 to 100 is right"),
        ("large", "gave output 1 the score 101.0; 0 to 100"),
        ("broken", r"the metric 'my_scores:broken' failed \(IndexError: list index out of range\)"),
    ],
)
def test_scores_that_are_none(mine: str, name: str, said: str) -> None:
    with pytest.raises(LingarithError, match=said):
        metric_of(f"{mine}:{name}").score(["a", "b"], [["a"], ["b"]], None)


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("rouge", "there is no metric 'rouge'; did you mean rouge2.*module:function"),
        ("nowhere_at_all:f", r"'nowhere_at_all:f' cannot be imported \(ModuleNotFoundError: .*PYTHONPATH"),
        (":f", "':f' cannot be imported"),
        ("my_broken:f", r"cannot be imported \(RuntimeError: not today\)"),
        ("my_scores:lenght", r"the module of 'my_scores:lenght' has no function 'lenght'; did you mean length\?"),
        ("my_scores:value", "has no function 'value'"),
    ],
)
def test_metrics_that_are_not_there(mine: str, which: str, said: str) -> None:
    with pytest.raises(LingarithError, match=said):
        metric_of(which)


def test_importing_them_is_light() -> None:
    code = "import sys, lingarith.scores.metrics; print(*{'sacrebleu', 'rouge_score', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
