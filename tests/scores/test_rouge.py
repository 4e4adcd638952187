import hashlib
import io

import numpy as np
import pytest
import sentencepiece
from rouge_score.rouge_scorer import RougeScorer

from lingarith.errors import LingarithError
from lingarith.scores.rouge import CallableTokenizer, SentencePieceTokenizer, rouge2

PERSIAN = "زلزله‌ای به بزرگی هفت ریشتر شمال کشور را لرزاند"
ENGLISH = ["The cats sat on the mat.", "Running, runs & ran 3 times", "nothing alike", ""]
OTHERS = ["A cat sat on the mat!", "running runs 3 times", "wholly other words", "something"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("spm") / "tiny.model"
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([PERSIAN, *ENGLISH[:3]] * 5),
        model_writer=written,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(written.getvalue())
    return path


def test_by_hand():
    # bigrams: {the cat, cat sat, sat down} and {the cat, cat sat}: precision 2/3, recall 1, F 0.8
    np.testing.assert_allclose(rouge2(["The cat sat down"], ["the cat sat"]), [80.0])


def test_the_default_is_rouge_score_itself_without_stemmer():
    scorer = RougeScorer(["rouge2"], use_stemmer=False)
    expected = [100 * scorer.score(r, p)["rouge2"].fmeasure for p, r in zip(ENGLISH, OTHERS, strict=True)]
    scores = rouge2(ENGLISH, OTHERS)
    assert scores.shape == (4,)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, expected)
    assert 0 < scores[0] < 100


def test_identical_texts_score_100_in_any_script(model):
    assert rouge2([PERSIAN], [PERSIAN])[0] == 0  # the English tokenizer sees nothing
    for tokenizer in (SentencePieceTokenizer(model), CallableTokenizer(list)):
        assert rouge2([PERSIAN, "地震が東京を襲った"], [PERSIAN, "地震が東京を襲った"], tokenizer)[0] == 100
    assert rouge2([PERSIAN], [PERSIAN[::-1]], SentencePieceTokenizer(model))[0] < 50


def test_sentencepiece_tokens_and_hash(model):
    tokenizer = SentencePieceTokenizer(str(model))
    assert tokenizer.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert "".join(tokenizer.tokenize("the cats sat")).replace("▁", " ").strip() == "the cats sat"


def test_bad_input(tmp_path):
    with pytest.raises(LingarithError, match=r"no\.model"):
        SentencePieceTokenizer(tmp_path / "no.model")
    (tmp_path / "bad.model").write_bytes(b"no model at all")
    with pytest.raises(LingarithError, match="not a SentencePiece model"):
        SentencePieceTokenizer(tmp_path / "bad.model")
    (tmp_path / "empty.model").write_bytes(b"")
    with pytest.raises(LingarithError, match="not a SentencePiece model"):
        SentencePieceTokenizer(tmp_path / "empty.model")
    with pytest.raises(LingarithError, match="2 predictions and 1 references"):
        rouge2(["a", "b"], ["a"])
    with pytest.raises(LingarithError, match="at least one"):
        rouge2([], [])
