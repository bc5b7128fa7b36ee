"""The command line: `thinkery COMMAND`. Commands are named as "module:function" and imported when they run."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console

from .. import __version__
from ..core.errors import ThinkeryError

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
REFUSED = {
    errno.ENOSPC: "the disk is full",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EDQUOT: "the quota is used up",
}

HELP = """Thinkery: find out which published way of learning to reason helps your model on your task.

Start with `thinkery demo`: a tiny model learns to add from verifiable rewards, on a laptop, in a minute or two."""

COMMANDS = {
    "demo": """Watch three methods teach a tiny model to add, and see which differences are real.

`thinkery demo --out runs/demo`""",
    "train": """Train a model on a task with a method, or with several joined by "+".

Leaves OUT/model, a Hugging Face folder, and OUT/run.json. Ctrl-C finishes the step, checkpoints and stops, twice it stops at once;
the same command with --resume goes on.

`thinkery train grpo --task addition --steps 100 --out runs/add`

`thinkery train grpo --data problems.jsonl --question q --answer a --verifier number --model ./my-model`

`thinkery train sft --data problems.csv --question q --answer a --verifier exact --solution worked`

`thinkery train grpo --task addition --track tensorboard --track wandb:adding`""",
    "compare": """Find out which methods help a model on a task, with intervals.

First says what it will need and which differences it can find. Ctrl-C keeps what is done: the same command does what is missing.

`thinkery compare grpo rloo grpo+./mine.py --model ./my-model --task countdown --seeds 5 --budget 2M-tokens --plan`

`thinkery compare grpo raft --task addition --seeds 3 --steps 40 --out runs/which`""",
    "eval": """Measure a model's accuracy on a task, with a 95 % interval.

Ctrl-C keeps the problems that are done: the same command goes on from there.

`thinkery eval --model runs/add/model --task addition --n 500`

`thinkery eval --model ./my-model --data problems.jsonl --question q --answer a --verifier number --json`""",
    "ask": """Ask a model something and watch it answer.

`thinkery ask "34+58="`

`thinkery ask "How many primes are below 30?" --model ./my-model --max-tokens 2000`

`echo "34+58=" | thinkery ask - --model runs/add --solver best_of_n --json`""",
    "check": """Check what a method claims, on seeds of its own, and say what came of it.

A claim says beforehand by how much the method should beat which other one. It is set up with pilot seeds, then frozen, then checked.
Ctrl-C keeps the runs that are done: the same command does the others.

`thinkery check rlcr --pilot`

`thinkery evidence freeze rlcr`

`thinkery check rlcr`""",
    "doctor": """Find out why nothing would be learnt, here or in another trainer's run; `doctor env` says what this machine can do.

`thinkery doctor grpo --task addition --model ./my-model`

`thinkery doctor rollouts outputs/completions`

`thinkery doctor env`""",
    "dashboard": """Look at runs in the browser, also while they go on.

`thinkery dashboard runs`""",
    "show": """Show methods by id, number, arXiv number or words of the title.

`thinkery show grpo`

`thinkery show 2402.03300`""",
    "version": """Versions of Thinkery and of what its numbers depend on.

`thinkery version`""",
}
GROUPS = {
    "list": (
        "What there is.",
        {
            "methods": """The methods that can be trained with, and the verdict on what they claim.

`thinkery list methods`""",
            "tasks": """The built-in tasks, each with a problem.

`thinkery list tasks --json`""",
            "solvers": """The ways of thinking: how a model is asked before it answers.

`thinkery list solvers`""",
            "models": """The models that ship with the package.

`thinkery list models`""",
            "runs": """The runs in a folder, newest first; of those at work, how far they are.

`thinkery list runs`

`thinkery list runs old-runs --tag keep --json`""",
        },
    ),
    "run": (
        "What a run did.",
        {
            "report": """Write the report of a run, of a comparison, or of several runs side by side: one HTML file that opens offline.

`thinkery run report runs/add`

`thinkery run report runs/compare-chain --md`

`thinkery run report runs/add runs/add-longer --out both.html`""",
            "query": """Ask a run's record in SQL, also while the run goes on; without a query, what its tables hold.

`thinkery run query runs/add "SELECT step, value FROM metrics WHERE name = 'reward'"`

`thinkery run query runs/add "SELECT reply, count(*) AS n FROM rollouts WHERE score = 0 GROUP BY reply ORDER BY n DESC" --limit 10`""",
            "search": """The sampled replies in which all the words stand, newest first.

`thinkery run search runs/add "cut off"`""",
            "tag": """Tag a run, to find it again.

`thinkery run tag runs/add keep baseline`

`thinkery run tag runs/add baseline --remove`""",
            "delete": """Delete runs, their models too.

`thinkery run delete runs/add --yes`""",
            "replay": """Make a step of a run once more, and say where it first differs from the record. Status 1 if it does.

`thinkery run replay runs/add --step 40`""",
            "export": """Write a run's record as files, one for each table.

`thinkery run export runs/add --to parquet --out add-record`""",
        },
    ),
    "model": (
        "Make models, and take them elsewhere.",
        {
            "build": """Make a built-in model from nothing, as the shipped one was made.

Ctrl-C checkpoints; the same command goes on.

`thinkery model build tiny --out my-tiny`""",
            "new": """Make a model with random weights and a vocabulary of your texts, to train from scratch.

`thinkery model new base --texts problems.jsonl --column question --vocabulary 1000`""",
            "merge": """Make one model between two of one origin: a weighted mean of their weights.

`thinkery model merge runs/brief/model runs/wordy/model --share 0.3 --out between`""",
            "export": """Write a model for use elsewhere: a folder for transformers and vLLM, or one file for llama.cpp.

An adapter is merged into its base. What serves the result is printed.

`thinkery model export runs/add --dtype bfloat16 --out my-model`

`thinkery model export runs/add --to gguf --dtype float16`""",
            "push": """Send a model with its card to the Hugging Face Hub, in one commit.

The card tells method, task, settings, accuracies with intervals, how they were measured, and limits, from the run's folder; a
README.md in the model's folder is sent instead. Log in first: `hf auth login`, or the variable HF_TOKEN.

`thinkery model push runs/add jane/adder --license apache-2.0 --dry-run`""",
        },
    ),
    "evidence": (
        "What methods claim, and what came of it.",
        {
            "table": """The verdicts on all methods that make a claim.

`thinkery evidence table`""",
            "freeze": """Fix a claim before its seeds are run. Another claim is another revision, with new seeds.

`thinkery evidence freeze rlcr`""",
            "report": """Write the report of a check as its evidence stands: one HTML file that opens offline.

`thinkery evidence report laser`

`thinkery evidence report laser --md --out laser.md`""",
            "pages": """Write a page for every method, from its file and the evidence.

`thinkery evidence pages --out docs/methods`""",
            "map": """Write a page of which methods add up, from comparisons with --pairs.

`thinkery evidence map runs/compare-chain --out docs/interactions.md`""",
            "verify": """Whether the evidence at hand is whole and of today's code; status 1 if not.

`thinkery evidence verify`""",
        },
    ),
    "task": (
        "Try a task and its verifier.",
        {
            "audit": """Measure how often a verifier errs: right answers refused, wrong ones paid, and what breaks it.

Status 1 says that something is wrong with it, in words.

`thinkery task audit countdown`

`thinkery task audit --data problems.jsonl --question q --answer a --verifier mine.py:score`""",
            "play": """Answer a problem yourself, and see the verdict and a worked solution.

`thinkery task play countdown`""",
            "serve": """Serve a task and tools by the Model Context Protocol, to the program that starts this.

`thinkery task serve countdown`

`thinkery task serve --database pets.sqlite`""",
        },
    ),
    "catalogue": (
        "The 84 papers behind the project.",
        {
            "papers": """The papers, newest first, and what stands here of each.

`thinkery catalogue papers calibration`""",
            "digest": """What is new since a day: printed, written as a page, or sent by e-mail.

`thinkery catalogue digest --since 2025-05-01`

`thinkery catalogue digest --since 2025-05-01 --to jane@example.org --smtp mail.example.org:25`""",
            "grid": """Where methods and ways of thinking belong, and what one of each place is worth on one task.

`thinkery catalogue grid`

`thinkery catalogue grid --run --task chain --n 200`""",
            "feed": """Write the papers as an Atom feed.

`thinkery catalogue feed --out papers.xml`""",
        },
    ),
    "new": (
        "Start a file of your own.",
        {
            "method": """A method: one file and its test, working at once.

`thinkery new method objectives my_idea`"""
        },
    ),
}
FILES = {
    "show": "listings",
    "version": "listings",
    "list": "listings",
    "list runs": "runs",
    "run": "runs",
    "ask": "out",
    "eval": "evaluating",
    "compare": "compare",
    "check": "evidence",
    "evidence": "evidence",
    "doctor": "out",
    "dashboard": "dashboard",
    "catalogue": "catalogue",
    "task": "task",
    "model": "making",
    "new": "making",
    "model export": "out",
    "model push": "out",
}


def commands() -> App:
    """The tree of commands."""
    top = App(name="thinkery", help=HELP, version=__version__, result_action="return_value", suppress_keyboard_interrupt=False)
    top.group_parameters = Group("Options", sort_key=2)
    module = lambda name, within="": f"thinkery.cli.{FILES.get(f'{within} {name}') or FILES.get(within or name, 'commands')}"
    for name, about in COMMANDS.items():
        top.command(f"{module(name)}:{name}_", name=name, help=about)
    for group, (about, names) in GROUPS.items():
        sub = App(name=group, help=about)
        for name, line in names.items():
            sub.command(f"{module(name, group)}:{group}_{name}", name=name, help=line)
        top.command(sub)
    return top


def app() -> App:
    """The tree of commands, with what every command takes."""
    top = commands()
    top.meta.suppress_keyboard_interrupt = False
    top.meta.group_parameters = Group("Everywhere", sort_key=9)

    @top.meta.default
    def everywhere(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        methods: Path | None = None,
        debug: Annotated[bool, Parameter(negative="")] = False,
    ) -> Any:
        """What every command takes.

        Args:
            methods: a folder of methods of your own, or one file (also: the variable THINKERY_METHODS)
            debug: show where an error happened
        """
        if methods is not None:
            os.environ["THINKERY_METHODS"] = str(methods)
        return top(words)

    return top.meta


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: two pools of threads on few cores fight each other
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        result = app()(given or ["--help"], exit_on_error=False, print_error=False, console=Console(), error_console=console)
        sys.stdout.flush()  # here, where a full disk or a closed pipe is still an error with a message
        return result if isinstance(result, int) else DONE
    except KeyboardInterrupt:
        if arguments is None:  # the process ends: nothing is left that another Ctrl-C could stop
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        console.print("interrupted", markup=False)
        return INTERRUPTED
    except CycloptsError as error:
        known = (
            given[:1]
            if given[0] in COMMANDS
            else given[:2]
            if given[0] in GROUPS and given[1:2] and given[1] in GROUPS[given[0]][1]
            else []
        )
        return _refuse(console, f"{error}\nSee: {' '.join(['thinkery', *known, '--help'])}", debug)
    except ThinkeryError as error:
        return _refuse(console, str(error), debug, error.status)
    except BrokenPipeError:  # the reader has seen enough; Python would complain once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in REFUSED:
            where = error.filename or "while writing"
            return _refuse(console, f"{REFUSED[error.errno]}: {where}; free some space or choose another --out", debug)
        if debug:
            raise
        return _refuse(
            console, f"{type(error).__name__}: {error}\nThis is a fault of Thinkery's own; --debug shows where it happened.", debug, FAILED
        )


def _refuse(console: Console, message: str, debug: bool, status: int = WRONG_INPUT) -> int:
    if debug:
        console.print(traceback.format_exc(), markup=False)
    console.print(f"thinkery: {message}", markup=False)
    return status


if __name__ == "__main__":
    sys.exit(main())
