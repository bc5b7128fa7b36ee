"""What a search finds decides what a model reads: the same query must find the same documents, whatever a model writes into it.

The files of Cranfield are looked for in THINKERY_DATA, else beside the repository; without them its test is skipped.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import log2
from pathlib import Path

import numpy as np
import pytest

from thinkery.core.errors import BadConfig, BadData, BadModel, EngineError, InputError, MissingExtra
from thinkery.tools import dense, search
from thinkery.tools.corpus import Corpus, Document, read_corpus
from thinkery.tools.dense import Dense, Each, Pooled, Served, kept
from thinkery.tools.ranking import ndcg, recall, reciprocal_rank
from thinkery.tools.search import Bm25, Index, Lexical

PLACES = [Path(p) for p in (os.environ.get("THINKERY_DATA"), Path(__file__).parents[3] / "shared" / "data") if p]
DATA = next((p for p in PLACES if p.is_dir()), None)

TOLD = Corpus(
    [
        Document("c", "Cats", "A cat sleeps. Cats purr."),
        Document("a", "Ants", "Ants carry leaves."),
        Document("b", "Bees", "Bees carry pollen; a bee dances."),
        Document("n", "Nähe", "München liegt an der Isar."),
        Document("y", "Same", "a twin text"),
        Document("x", "Same", "a twin text"),
    ]
)


def letters(text: str) -> list[float]:
    """How often each letter stands in the text."""
    return [text.lower().count(chr(i)) for i in range(97, 123)]


KINDS = {"lexical": Lexical, "bm25": Bm25, "dense": lambda corpus: Dense(corpus, Each(letters))}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    if request.param == "bm25":
        pytest.importorskip("bm25s")
    return KINDS[request.param]


@pytest.fixture(scope="module")
def index(kind) -> Index:
    return kind(TOLD)


def ids(index: Index, query: str, k: int = 10) -> list[str]:
    return [hit.id for hit in index.search(query, k)]


def test_what_has_the_words_is_found_first(index):
    assert ids(index, "cats purr")[0] == "c"
    assert ids(index, "carry pollen")[0] == "b"
    found = index.search("carry pollen", 1)[0]
    assert (found.title, found.text) == ("Bees", "Bees carry pollen; a bee dances.")
    assert found.score > 0


def test_hits_come_by_score_and_then_by_id(index):
    hits = index.search("a twin text")
    assert [h.id for h in hits[:2]] == ["x", "y"]
    assert hits[0].score == hits[1].score
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert ids(index, "a twin text", 1) == ["x"]


def test_words_are_stemmed_and_accents_do_not_count():
    lexical = Lexical(TOLD)
    assert ids(lexical, "carrying sleep") == ["c", "a", "b"]
    assert ids(lexical, "munchen") == ids(lexical, "MÜNCHEN") == ["n"]


@pytest.mark.parametrize("query", ["", " ", "\n\t", "\x00", "\u3000"])
def test_a_query_of_nothing_finds_nothing(index, query):
    assert index.search(query) == []


def test_an_empty_corpus_has_nothing(kind):
    assert kind(Corpus([])).search("cats") == []
    kind(Corpus([Document("a", "", "")])).search("cats")


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_a_number_of_hits_that_cannot_be_had_is_refused(index, k):
    with pytest.raises(InputError, match=f"{k} hits"):
        index.search("cats", k)


@pytest.mark.parametrize(
    "query",
    [
        '"', "'", '"cats', "cats AND", "NOT cats", "NEAR(cats purr, 2)", "cats*", "^cats", "title:cats", "{title text}: cats", "-cats",
        "cats OR OR purr", "((((cats", "cats) --", "cats'; DROP TABLE words; --", 'cats" OR "1"="1', "+ cats", "cats\x00purr", "cats % _ ?",
        "cats " * 5000, "(" * 9000 + "cats", "".join(f"w{i} " for i in range(3000)), "c" * 100_000, "cats \ud800", "\u202ecats", "\U000e0041cats",
    ],
    ids=lambda q: repr(q[:20]),
)  # fmt: skip
def test_no_query_is_a_language(index, query):
    found = index.search(query)
    plain = " ".join(re.findall(r"[^\W_]+", query[: search.LONGEST]))
    if "cats" in plain.split()[: search.WORDS]:
        assert "c" in [h.id for h in found]
    assert found == index.search(query)


def test_a_search_that_costs_too_much_is_stopped(monkeypatch):
    index = Lexical(Corpus(Document(f"{i:05}", "", "alpha beta") for i in range(8000)))
    assert ids(index, "alpha", 2) == ["00000", "00001"]
    monkeypatch.setattr(search, "PATIENCE", 3)
    with pytest.raises(InputError, match="too many documents"):
        index.search("alpha")
    monkeypatch.undo()
    assert len(index.search("alpha beta", 1000)) == 1000


def test_many_threads_find_what_one_finds(index):
    queries = [f"{a} {b}" for a in ("cats", "bees", "ants", "twin") for b in ("carry", "purr", "text", "nothing")] * 15
    alone = [index.search(q) for q in queries]
    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(index.search, queries)) == alone


def test_an_index_leaves_no_file():
    index = Lexical(TOLD)
    folder = index._file.parent
    assert folder.is_dir()
    del index
    assert not folder.exists()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingExtra, match=r"thinkery\[retrieval\]"):
        Bm25(TOLD)


# ---- corpora


def test_a_folder_is_read_by_the_paths_of_its_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.md").write_text("bees")
    (tmp_path / "a.txt").write_text("ants")
    (tmp_path / "c.png").write_bytes(b"\xff")
    corpus = read_corpus(tmp_path)
    assert corpus.documents == (Document("a.txt", "a", "ants"), Document("deep/b.md", "b", "bees"))
    assert corpus.digest() == read_corpus(tmp_path).digest() != TOLD.digest()
    (tmp_path / "a.txt").write_bytes(b"an\xffts")
    with pytest.raises(BadData, match=r"a\.txt: not UTF-8 at byte 2"):
        read_corpus(tmp_path)


def test_lines_are_documents(tmp_path):
    path = tmp_path / "told.jsonl"
    path.write_text('{"id": 7, "title": "T", "text": "seven"}\n\n{"id": "a", "text": "", "more": 1}\n')
    assert read_corpus(path).documents == (Document("7", "T", "seven"), Document("a", "", ""))
    assert len(read_corpus(path)) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{broken", "line 2"),
        (b"[1]", "line 2"),
        (b'{"id": "b"}', "line 2: .*text"),
        (b'{"text": "b"}', "line 2: .*id"),
        (b'{"id": "b", "text": 3}', "line 2: .*str"),
        (b'{"id": null, "text": "b"}', "line 2"),
        (b'{"id": "b", "text": "\xff"}', "line 2: .*utf-8|line 2: .*UTF-8"),
        (b'{"id": "b", "text": "\\ud800"}', "line 2"),
        (b'{"id": "a", "text": "again"}', "line 2: the id 'a' is line 1's"),
        (b"[" * 100_000, "line 2"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, said):
    path = tmp_path / "told.jsonl"
    path.write_bytes(b'{"id": "a", "text": "b"}\n' + line + b"\n")
    with pytest.raises(BadData, match=said):
        read_corpus(path)


def test_what_is_not_there_or_twice_is_named(tmp_path):
    with pytest.raises(BadData, match="no such file or folder"):
        read_corpus(tmp_path / "none.jsonl")
    with pytest.raises(BadData, match="two documents have the id 'a'"):
        Corpus([Document("a", "", "1"), Document("a", "", "2")])


# ---- by meaning


def test_vectors_are_kept_beside_the_corpus(tmp_path):
    path = tmp_path / "told.jsonl"
    path.write_text("".join(json.dumps(d._asdict()) + "\n" for d in TOLD.documents))
    asked: list[str] = []
    embed = Each(lambda text: asked.append(text) or letters(text), "letters")
    first, count = Dense(read_corpus(path), embed).search("cats purr"), len(asked)
    assert Dense(read_corpus(path), embed).search("cats purr") == first
    assert len(asked) == count + 1
    kept(read_corpus(path), "letters").write_bytes(b"cut")
    assert Dense(read_corpus(path), embed).search("cats purr") == first
    path.write_text(path.read_text().replace("purr", "hiss"))
    before = len(asked)
    Dense(read_corpus(path), embed)
    assert len(asked) == before + len(TOLD)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".jsonl", ".npy", ".npy"]


@pytest.mark.parametrize("given", [lambda text: [float("nan")], lambda text: 1.0, lambda text: [[1.0]]])
def test_what_is_no_vector_is_refused(given):
    with pytest.raises(EngineError, match="embedding model"):
        Dense(TOLD, Each(given))
    with pytest.raises(EngineError, match="3 numbers"):
        Dense(TOLD, Each(lambda text: letters(text)[: 26 if "\n" in text else 3])).search("cats")


class Answers(BaseHTTPRequestHandler):
    """POST /v1/embeddings, as OpenAI has it, out of order; the model "broken" breaks."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = [{"index": i, "embedding": letters(text)} for i, text in enumerate(asked["input"])][::-1]
        broken = asked["model"] == "broken"
        body = json.dumps({"error": "no such model"} if broken else {"data": rows}).encode()
        self.send_response(404 if broken or self.path != "/v1/embeddings" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_gives_what_the_function_gives():
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        assert Dense(TOLD, Served(url, "letters")).search("cats purr") == Dense(TOLD, Each(letters)).search("cats purr")
        with pytest.raises(EngineError, match=r"status 404.*no such model"):
            Dense(TOLD, Served(url, "broken"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    with pytest.raises(EngineError, match="did not answer"):
        Dense(TOLD, Served(url, "letters"))
    with pytest.raises(BadConfig, match="no address"):
        Served("localhost", "letters")


def test_a_folder_of_transformers_is_pooled(tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "a", "cat", "cats", "purr", "bee", "carry", "pollen", "twin", "text"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(tmp_path)
        config = transformers.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
        )
        transformers.BertModel(config).save_pretrained(tmp_path)
        embed = Pooled(tmp_path)
        index = Dense(TOLD, embed)
        apart, beside = embed(["a cat purr"]), embed(["a cat purr", "twin " * 100])
    assert index.search("Same a twin text", 2)[0].id == "x"
    np.testing.assert_allclose(apart[0], beside[0], atol=1e-6)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(str, pool.map(lambda i: index.search("a cat purr"), range(60))))) == 1
    coded = embed.tokenizer(["a cat purr"], return_tensors="pt")
    with torch.inference_mode():
        golden = embed.model(**coded).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(apart[0], golden, atol=1e-6)
    with pytest.raises(BadModel, match="cannot be read"):
        Pooled(tmp_path / "none")


def test_vectors_of_zeros_stay():
    assert dense.unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]


# ---- judgements


def test_measures_by_hand():
    grades, ranked = {"a": 3.0, "b": 2.0, "c": 0.0, "d": 1.0, "e": -1.0}, ["e", "b", "c", "z", "a"]
    assert [recall(ranked, grades, k) for k in (1, 2, 5)] == [0, 1 / 3, 2 / 3]
    assert reciprocal_rank(ranked, grades) == 1 / 2
    assert reciprocal_rank(["c", "z"], grades) == 0
    assert ndcg(ranked, grades, 5) == pytest.approx((2 / log2(3) + 3 / log2(6)) / (3 + 2 / log2(3) + 1 / 2))
    assert ndcg(ranked, grades, 2) == pytest.approx((2 / log2(3)) / (3 + 2 / log2(3)))
    assert ndcg(["a", "b", "d"], grades, 10) == pytest.approx(1)
    for measure in (recall, ndcg):
        with pytest.raises(ValueError, match="no document is relevant"):
            measure(ranked, {"a": 0.0}, 5)


@pytest.mark.parametrize(("kind", "floors"), [("lexical", (0.38, 0.37, 0.51)), ("bm25", (0.38, 0.36, 0.50))])
def test_cranfield(kind, floors):
    """1,400 abstracts, 225 queries. The judgements number the queries by their place, not by the numbers in the file of queries."""
    if DATA is None or not (DATA / "cranfield").is_dir():
        pytest.skip(f"cranfield is not in {PLACES}")
    if kind == "bm25":
        pytest.importorskip("bm25s")
    folder = DATA / "cranfield"
    form = re.compile(r"<docno>(.*?)</docno>\s*<title>(.*?)</title>.*?<text>(.*?)</text>", re.DOTALL)
    corpus = Corpus(Document(*map(str.strip, m.groups())) for m in form.finditer((folder / "cran.all.1400.xml").read_text()))
    queries = re.findall("<title>(.*?)</title>", (folder / "cran.qry.xml").read_text(), re.DOTALL)
    grades: dict[int, dict[str, float]] = {}
    for line in (folder / "cranqrel.trec.txt").read_text().splitlines():
        query, _, name, grade = line.split()
        grades.setdefault(int(query), {})[name] = float(grade)
    assert (len(corpus), len(queries), len(grades)) == (1400, 225, 225)
    index = KINDS[kind](corpus)
    ranked = [[h.id for h in index.search(q, 100)] for q in queries]
    means = np.mean([(recall(r, g, 10), ndcg(r, g, 10), reciprocal_rank(r, g)) for r, g in zip(ranked, grades.values())], axis=0)
    assert (means >= floors).all(), means
    assert (means <= np.add(floors, 0.02)).all(), means


@pytest.mark.parametrize("kind", ["lexical", "bm25"])
def test_wikipedia(kind):
    """2,000 paragraphs that 2WikiMultiHopQA asks about: a title, and a paragraph's last words, lead to their paragraph."""
    if DATA is None or not (DATA / "wiki2_corpus").is_dir():
        pytest.skip(f"wiki2_corpus is not in {PLACES}")
    if kind == "bm25":
        pytest.importorskip("bm25s")
    told = json.loads((DATA / "wiki2_corpus" / "2wikimultihopqa_corpus.json").read_text("utf-8"))
    corpus = Corpus(Document(f"{i:04}", d["title"], d["text"]) for i, d in enumerate(told))
    index = KINDS[kind](corpus)
    for asked in (lambda d: d.title, lambda d: " ".join(d.text.split()[-12:])):
        sample = corpus.documents[::10]
        assert np.mean([d.id in ids(index, asked(d), 5) for d in sample]) > 0.93
