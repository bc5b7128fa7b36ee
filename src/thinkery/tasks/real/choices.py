"""Questions with given answers (letters, labels, yes or no) and short ones about a story: how their rows are posed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .dataset import Item
from .rows import Row

LETTERS = "ABCDE"


def lettered(options: Sequence[str]) -> str:
    """Options, one a line, as A) … B) …"""
    return "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options))


def deduced(row: Row, file: Path) -> Item:
    """ProofWriter, ProntoQA and AR-LSAT as Logic-LM has them. Difficulty counts the steps of the explanation, where there is one."""
    prompt = "\n".join([row["context"].strip(), row["question"].strip(), *row["options"]])
    steps = row.get("explanation") or []
    solution = "\n".join([*steps, f"Answer: {row['answer']}"]) if steps else None
    return Item(prompt, row["answer"], same=row["context"], difficulty=len(steps), solution=solution)


def logiqa(row: Row, file: Path) -> Item:
    """Difficulty counts the kinds of reasoning that the row was marked with."""
    prompt = f"{row['text'].strip()}\n{row['question'].strip()}\n{lettered(row['options'])}"
    return Item(prompt, LETTERS[int(row["answer"])], same=row["text"], difficulty=sum(row["type"].values()))


def commonsense(row: Row, file: Path) -> Item | str:
    """CommonsenseQA's own rows, and ECQA's rows of its training set, which have a rationale."""
    if "question" in row:
        question = row["question"]
        stem = question["stem"].strip()
        return Item(f"{stem}\n{lettered([c['text'] for c in question['choices']])}", row["answerKey"], same=stem)
    asked, _, listed = row["0"].partition("\nOptions:\n")
    options = [line.removeprefix("- ") for line in listed.split("\n")]
    if options.count(row["1"]) != 1:
        return "its answer is not one of its options"
    answer = LETTERS[options.index(row["1"])]
    return Item(f"{asked.strip()}\n{lettered(options)}", answer, same=asked, solution=f"{row['2'].strip()}\nAnswer: {answer}")


def strategy(row: Row, file: Path) -> Item:
    """The explanation behind "Yes." or "No." is the work."""
    answer, _, why = row["target"].partition(".")
    return Item(row["input"].strip(), answer.lower(), solution=f"{why.strip()}\nAnswer: {answer.lower()}")


def folio(row: Row, file: Path) -> Item:
    """Difficulty counts premises. The training file calls Unknown what the validation file calls Uncertain."""
    premises = "\n".join(row["premises"])
    prompt = f"Premises:\n{premises}\nConclusion: {row['conclusion'].strip()}\nIs the conclusion True, False or Uncertain?"
    label = "Uncertain" if row["label"] == "Unknown" else row["label"]
    return Item(prompt, label, same=premises, difficulty=len(row["premises"]))


def hard(row: Row, file: Path) -> Item | str:
    """BIG-Bench Hard, without examples before the question."""
    target = row["target"].strip()
    if "\n(A) " in row["input"] and not target.startswith("("):
        return "its target is not one of its options"
    return Item(row["input"].strip(), target)


def story(row: Row, file: Path) -> Item:
    """bAbI. Difficulty counts the supporting sentences, which are the work."""
    prompt = "\n".join([*row["story"], row["question"]])
    solution = "\n".join([*row["facts"], f"Answer: {row['answer']}"])
    return Item(prompt, row["answer"], difficulty=len(row["facts"]), solution=solution)


def paragraphs(row: Row, file: Path) -> Item:
    """HotpotQA: ten paragraphs under their titles, then the question."""
    context = row["context"]
    pairs = zip(context["title"], context["sentences"]) if isinstance(context, dict) else context
    told = "\n\n".join(f"{title}\n{''.join(sentences).strip()}" for title, sentences in pairs)
    return Item(f"{told}\n\nQuestion: {row['question'].strip()}", row["answer"].strip(), same=row["question"])


def film(row: Row, file: Path) -> Item:
    """MetaQA: the topic stands in square brackets; difficulty counts hops."""
    asked = row["0"].strip()
    topic = asked.partition("[")[2].partition("]")[0]
    return Item(asked, row["1"].strip(), difficulty=float(file.stem[0]), shown={"topic": topic})
