"""Real checkpoints here and in transformers: token ids, log-probabilities and greedy tokens of a few prompts; optionally a GSM8K score.

    python benchmarks/hub_parity.py Qwen/Qwen3-0.6B meta-llama/Llama-3.2-1B-Instruct --device cuda
    python benchmarks/hub_parity.py FOLDER --gsm8k 100 --data gsm8k_test.jsonl
    python benchmarks/hub_parity.py --self-test

Every prompt is read plain and, where the model has a chat template, as a question. Compared are the ids, the whole distribution after
every token of the prompt (largest distance of a log-probability, mean Kullback-Leibler divergence, nats), and the tokens that follow
greedily. Where those part, `gap` is by how much transformers prefers its own token there: a small one is a tie that rounding decided.
The exit status is 1 if a model fails: other ids, a distance above the bound, or tokens that part by more than it.
lm-eval poses GSM8K in its own words, so the two scores are neighbours, not equals.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import thinkery
from thinkery.core.context import Context, Turn
from thinkery.core.errors import BadData, BadModel
from thinkery.core.records import Question
from thinkery.core.rng import address
from thinkery.engines.choice import engine_of
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run
from thinkery.models.decoder import DecoderConfig
from thinkery.models.layout import rectangle
from thinkery.models.model import Model, new_model
from thinkery.models.rope import Rope
from thinkery.models.tokenizer import Tokenizer, train_tokenizer
from thinkery.tasks import SPLITS, load_file

PROMPTS = (
    "The capital of France is",
    "Question: A shop sells pens at 3 for $2. How much do 12 pens cost? Explain briefly.",
    "def fibonacci(n):\n    if n < 2:\n",
    "Translate into German: the weather is fine today, isn't it?",
    "1, 1, 2, 3, 5, 8, 13, 21,",
    "Ein Gedicht über den Herbst – «naïve café» 漢字 😀:",
)
BOUNDS = {"float32": 1e-3, "bfloat16": 0.5}  # nats, of the largest distance
FILES = ["*.json", "*.safetensors", "*.jinja"]
TASK = "gsm8k_cot_zeroshot"
COLUMNS = ("model", "prompts", "same ids", "largest", "mean KL", "greedy equal", "worst gap", "passes")


@dataclass(frozen=True)
class Read:
    """What one side makes of one prompt.

    logps    [n, V] float32: of the next token after each of the prompt's
    """

    ids: tuple[int, ...]
    logps: torch.Tensor
    greedy: tuple[int, ...]


@dataclass(frozen=True)
class Compared:
    """One prompt on both sides.

    parted   where the greedy tokens part; None: nowhere
    gap      by how much transformers prefers its own token there; None: one side ended and the other went on
    """

    prompt: str
    chat: bool
    same_ids: bool
    largest: float
    divergence: float
    greedy: int
    parted: int | None
    gap: float | None

    def within(self, bound: float) -> bool:
        """Whether that is the same model up to rounding."""
        return self.same_ids and self.largest < bound and self.gap is not None and self.gap < bound


# ---- the two sides


def ours(model: Model, tokens: int) -> Iterator[tuple[str, bool, Read]]:
    """Every prompt, plain and as a question."""
    engine = engine_of(model)
    for chat in (False, True) if model.chat is not None else (False,):
        for prompt in PROMPTS:
            root = Context.root(model.tokenizer)
            context = model.context(root, Question(prompt)) if chat else root + prompt
            with torch.no_grad():
                logps = model.decoder.logits(model.decoder(rectangle([context.ids]))).float().log_softmax(-1).cpu()
            yield prompt, chat, Read(context.ids, logps, greedy(engine, context, tokens))


def greedy(engine: Any, context: Context, tokens: int) -> tuple[int, ...]:
    """What the engine writes after a context at temperature 0."""

    async def write() -> Turn:
        return await session.ask(context)

    engine.reset()
    session = Session(engine, address("parity"), Sampling(tokens, 0.0))
    (turn,) = run([write()], [engine])
    if isinstance(turn, BaseException):
        raise turn
    return turn.ids  # type: ignore[no-any-return]


class Theirs:
    """transformers' model and tokenizer of a folder."""

    def __init__(self, folder: Path, device: str, dtype: str) -> None:
        import transformers

        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self.model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).to(device).eval()
        self.config = transformers.GenerationConfig

    def ids(self, prompt: str, chat: bool) -> tuple[int, ...]:
        """Its own token ids of a prompt."""
        if not chat:
            return tuple(self.tokenizer(prompt)["input_ids"])
        asked = [{"role": "user", "content": prompt}]
        return tuple(self.tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"])

    def logps(self, ids: Sequence[int]) -> torch.Tensor:
        """Of the next token after each of these, float32 [n, V]."""
        with torch.no_grad():
            return self.model(torch.tensor([ids], device=self.model.device)).logits[0].float().log_softmax(-1).cpu()  # type: ignore[no-any-return]

    def read(self, ids: tuple[int, ...], tokens: int) -> Read:
        """What it makes of token ids. Penalties and the like that its generation_config may name are left out."""
        given = torch.tensor([ids], device=self.model.device)
        ends = self.model.generation_config.eos_token_id
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        told = self.config(max_new_tokens=tokens, do_sample=False, repetition_penalty=1.0, eos_token_id=ends, pad_token_id=pad)
        out = self.model.generate(given, attention_mask=torch.ones_like(given), generation_config=told)
        return Read(ids, self.logps(ids), tuple(out[0, len(ids) :].tolist()))


def compare(prompt: str, chat: bool, mine: Read, theirs: Theirs, tokens: int) -> Compared:
    """Both sides on the ids that we read."""
    other = theirs.read(mine.ids, tokens)
    parted = next((i for i, (a, b) in enumerate(zip(mine.greedy, other.greedy)) if a != b), None)
    if parted is None and len(mine.greedy) != len(other.greedy):
        parted = min(len(mine.greedy), len(other.greedy))
    gap: float | None = 0.0 if parted is None else None
    if parted is not None and parted < min(len(mine.greedy), len(other.greedy)):
        last = theirs.logps([*mine.ids, *other.greedy[:parted]])[-1]
        gap = float(last[other.greedy[parted]] - last[mine.greedy[parted]])
    largest = float((mine.logps - other.logps).abs().max())
    divergence = float((other.logps.exp() * (other.logps - mine.logps)).sum(-1).mean())
    return Compared(prompt, chat, mine.ids == theirs.ids(prompt, chat), largest, divergence, len(mine.greedy), parted, gap)


# ---- a model


def folder_of(name: str) -> Path:
    """A folder as it is, another name from the hub."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=FILES, ignore_patterns="consolidated*"))


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """All that is known of one model. The two sides are held one after the other."""
    folder = folder_of(name)
    model = thinkery.load_model(folder, args.device, args.dtype)
    reads = list(ours(model, args.tokens))
    score = None if args.gsm8k is None else gsm8k(model, args.gsm8k, args.data)
    chat = model.chat is not None
    del model
    gc.collect()
    theirs = Theirs(folder, args.device, args.dtype)
    found = [compare(prompt, chat, mine, theirs, args.tokens) for prompt, chat, mine in reads]
    del theirs
    gc.collect()
    bound = BOUNDS[args.dtype]
    passes = all(c.within(bound) for c in found)
    said = {"model": name, "dtype": args.dtype, "bound": bound, "passes": passes, "prompts": [asdict(c) for c in found]}
    if score is not None:
        said["gsm8k"] = score | lm_eval(folder, args.gsm8k, chat, args.dtype, args.device)
    return said


def gsm8k(model: Model, n: int, path: Path) -> dict[str, Any]:
    """Our accuracy, zero-shot and greedy, on n rows of a JSONL file with `question` and `answer`."""
    task = load_file(path, "question", "answer", "number")
    task.problems["test"] = [p for split in SPLITS for p in task.problems[split]]  # all of it is a test
    n = min(n, task.size("test"))
    found = thinkery.evaluate(model, task, n=n)
    return {"ours": found.accuracy, "interval": [found.low, found.high], "n": n, "unparsed": found.unparsed, "truncated": found.truncated}


def lm_eval(folder: Path, n: int, chat: bool, dtype: str, device: str) -> dict[str, Any]:
    """lm-eval's score of the same model, or the command that finds it where lm-eval is not installed."""
    with tempfile.TemporaryDirectory() as scratch:
        place = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
        command = [
            *("lm_eval", "--model", "hf", "--model_args", f"pretrained={folder},dtype={dtype}", "--tasks", TASK),
            *("--limit", str(n), "--device", place, "--output_path", scratch, *(["--apply_chat_template"] if chat else [])),
        ]
        if importlib.util.find_spec("lm_eval") is None:
            return {"lm_eval": None, "command": " ".join(command).replace(scratch, "RESULTS")}
        subprocess.run([sys.executable, "-m", *command], check=True, stdout=subprocess.DEVNULL)
        (path,) = Path(scratch).rglob("results*.json")
        results = json.loads(path.read_text())["results"][TASK]
    return {"lm_eval": next(v for k, v in results.items() if k.startswith("exact_match,flexible"))}


# ---- what is printed


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for r in results:
        p = r["prompts"]
        equal = sum(c["parted"] is None for c in p)
        cells = (
            r["model"],
            f"{len(p)}",
            f"{sum(c['same_ids'] for c in p)}",
            f"{max(c['largest'] for c in p):.1e}",
            f"{sum(c['divergence'] for c in p) / len(p):.1e}",
            f"{equal}",
            "other end" if any(c["gap"] is None for c in p) else f"{max(c['gap'] for c in p):.1e}",
            "yes" if r["passes"] else "**no**",
        )
        lines.append("| " + " | ".join(cells) + " |")
    for r in results:
        if (score := r.get("gsm8k")) is not None:
            low, high = score["interval"]
            other = f"lm-eval {score['lm_eval']:.3f}" if score["lm_eval"] is not None else f"lm-eval: {score['command']}"
            lines.append(f"\nGSM8K, {r['model']}, n {score['n']}: ours {score['ours']:.3f} [{low:.3f}, {high:.3f}]; {other}")
    return "\n".join(lines)


def made(folder: Path) -> list[str]:
    """Tiny random checkpoints, and one line of GSM8K's kind beside them."""
    tokenizer = train_tokenizer(list(PROMPTS) * 3, 400)
    shape = DecoderConfig(400, 48, 2, 4, 2, 12, 80, context=640)
    unbegun = Tokenizer(tokenizer.backend, None, tokenizer.end, tokenizer.pad)
    shapes: dict[str, dict[str, Any]] = {
        "llama": {"rope": Rope("llama3", 4.0, 16, 1.0, 4.0)},
        "biased": {"qkv_bias": True, "out_bias": True, "tied": False},
        "qwen3": {"qk_norm": True, "head_width": 16},
    }
    for name, changes in shapes.items():
        tokenizer = unbegun if name == "qwen3" else tokenizer
        model = new_model(replace(shape, **changes), tokenizer, name)
        with torch.no_grad():
            model.decoder.norm.mul_(8)  # far from uniform
        model.save(folder / name)
    path = folder / "qwen3" / "tokenizer_config.json"
    template = (
        "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}"
    )
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    rows = [{"question": f"What is {n} + {n}?", "answer": f"{n} and {n} make #### {2 * n}"} for n in range(3)]
    (folder / "gsm8k.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return [str(folder / name) for name in shapes]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a folder or a name on the Hugging Face hub")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--dtype", default="float32", choices=BOUNDS, help="what both sides compute in")
    parser.add_argument("--tokens", type=int, default=32, help="how many follow a prompt greedily")
    parser.add_argument("--gsm8k", type=int, metavar="N", help="score N problems of --data, and with lm-eval if it is installed")
    parser.add_argument("--data", type=Path, help="a JSONL file with question and answer")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--self-test", action="store_true", help="use tiny random checkpoints made on the spot")
    args = parser.parse_args()
    if bool(args.models) == args.self_test:
        parser.error("give one model or more, or --self-test")
    if (args.gsm8k is None) != (args.data is None) or (args.self_test and args.data):
        parser.error("--gsm8k N and --data FILE belong together, and not to --self-test")
    return args


def main() -> int:
    args = arguments()
    args.device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    with tempfile.TemporaryDirectory() as scratch:
        names = made(Path(scratch)) if args.self_test else args.models
        if args.self_test:
            args.gsm8k, args.data = 2, Path(scratch) / "gsm8k.jsonl"
        try:
            results = [measure(name, args) for name in names]
        except (BadModel, BadData) as error:
            print(error, file=sys.stderr)
            return 2
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    return 0 if all(r["passes"] for r in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
