import pytest
import sacrebleu

from lingarith.errors import LingarithError
from lingarith.scores import chrf as scores_chrf
from lingarith.scores.chrf import chrf, corpus_bleu, corpus_chrf

OUTPUTS = ["the cat sat on the mat", "A dog barked at us.", "", "今日は良い天気です"]
REFERENCES = [["the cat is on the mat", "a cat sat on a mat"], ["The dog barked."], ["something"], ["今日はいい天気"]]


def test_against_sacrebleu():
    alone = [sacrebleu.sentence_chrf(one, some).score for one, some in zip(OUTPUTS, REFERENCES, strict=True)]
    assert chrf(OUTPUTS, REFERENCES).tolist() == pytest.approx(alone)
    firsts = [[some[0] for some in REFERENCES]]
    single = [[first] for first in firsts[0]]
    assert corpus_chrf(OUTPUTS, single) == pytest.approx(sacrebleu.corpus_chrf(OUTPUTS, firsts).score)
    assert corpus_bleu(OUTPUTS, single) == pytest.approx(sacrebleu.corpus_bleu(OUTPUTS, firsts).score)
    assert corpus_bleu(OUTPUTS, REFERENCES) >= corpus_bleu(OUTPUTS, single)


@pytest.mark.parametrize("kept", [0, scores_chrf.KEPT])
def test_several_methods_against_the_same_references(monkeypatch, kept):
    monkeypatch.setattr(scores_chrf, "KEPT", kept)
    streams = [
        ["the cat is on the mat", "The dog barked.", "something", "今日はいい天気"],
        ["a cat sat", None, None, None],
    ]
    for outputs in (OUTPUTS, OUTPUTS[::-1], OUTPUTS):
        expected = sacrebleu.metrics.CHRF().corpus_score(outputs, streams).score
        some = [[one for one in row if one is not None] for row in zip(*streams, strict=True)]
        assert corpus_chrf(outputs, some) == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    # "ab" against "abc": 1-grams 2/2 and 2/3, 2-grams 1/1 and 1/2; no longer ones in the output, so two orders count
    precision, recall = 1, (2 / 3 + 1 / 2) / 2
    assert chrf(["ab"], [["abc"]])[0] == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))
    assert chrf(["a b"], [["ab"]])[0] == 100


def test_bad_input():
    for score in (chrf, corpus_chrf, corpus_bleu):
        with pytest.raises(LingarithError, match=r"output 0 are \[\]"):
            score(["a"], [[]])
