"""A run's record as one SQLite file, run.sqlite: steps, metrics, what was told, and every reply that was sampled, token by token.

It is written once a step, in one transaction, by a thread beside the step's learning, and can be read while the run goes on. What seed
and recipe determine stands apart from what the clock says (`steps.seconds`, `events.at`), so that two runs can be compared. The tables are told in docs/store.md.
"""

from __future__ import annotations

FILE, SEARCH = "run.sqlite", "search.sqlite"
VERSION = 2
KEPT = ("note", "finding", "warning", "evaluation", "checkpoint", "stage", "preview")  # events that are recorded

# table -> what it holds, then column -> (type, what it holds)
TABLES: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "steps": (
        "a row for each step",
        {
            "step": ("INTEGER PRIMARY KEY", "steps done, from 1"),
            "stage": ("TEXT", "the stage's name"),
            "seconds": ("REAL", "how long it took"),
        },
    ),
    "metrics": (
        "a row for each step and metric",
        {
            "step": ("INTEGER", ""),
            "name": ("TEXT", "as in the reports: reward, accuracy, length, entropy, mixed, loss/NAME, …"),
            "value": ("REAL", "NULL where it was no number"),
        },
    ),
    "events": (
        "what the run told",
        {
            "id": ("INTEGER PRIMARY KEY", ""),
            "step": ("INTEGER", "steps done by then"),
            "at": ("REAL", "seconds since 1970"),
            "kind": ("TEXT", ", ".join(KEPT)),
            "data": ("TEXT", "a JSON object"),
        },
    ),
    "problems": (
        "problems that were met",
        {
            "id": ("TEXT PRIMARY KEY", "the problem's own name"),
            "prompt": ("TEXT", ""),
            "gold": ("TEXT", "the right answer, empty where only the verifier knows"),
            "family": ("TEXT", "what stands on one side of a split"),
            "difficulty": ("REAL", "as the task counts it"),
        },
    ),
    "rollouts": (
        "a row for each sample of a problem",
        {
            "id": ("INTEGER PRIMARY KEY", ""),
            "step": ("INTEGER", ""),
            "stage": ("TEXT", ""),
            "number": ("INTEGER", "the problem's index in its split"),
            "k": ("INTEGER", "which sample of the problem in this step"),
            "problem": ("TEXT", "problems.id"),
            "reply": ("TEXT", "what the solver handed in; NULL where it failed"),
            "parsed": ("TEXT", "the answer that was read; NULL where none was"),
            "score": ("REAL", "the verifier's, in [0, 1]; NULL where nothing was verified"),
            "reason": ("TEXT", "the verifier's, in words"),
            "error": ("TEXT", "what failed; such a rollout is not scored"),
            "truncated": ("INTEGER", "1 where a token limit cut it off"),
            "tokens": ("INTEGER", "sampled tokens of all its turns"),
            "reward": ("REAL", "of its first trained turn, all parts together; NULL where it was not learnt from"),
        },
    ),
    "rewards": (
        "a row for each rollout and part of the reward",
        {"rollout": ("INTEGER", "rollouts.id"), "name": ("TEXT", "the part"), "value": ("REAL", "without its weight")},
    ),
    "calls": (
        "a row for each call of a tool, as far as the solver tells them",
        {
            "rollout": ("INTEGER", "rollouts.id"),
            "call": ("INTEGER", "its place in the rollout, from 0"),
            "tool": ("TEXT", ""),
            "arguments": ("TEXT", "as the model wrote them"),
            "text": ("TEXT", "what it read"),
            "error": ("TEXT", "what was wrong, empty if the tool answered"),
        },
    ),
    "contexts": (
        "what turns were written after",
        {"id": ("INTEGER PRIMARY KEY", ""), "step": ("INTEGER", ""), "text": ("TEXT", "")},
    ),
    "turns": (
        "a row for each ask",
        {
            "rollout": ("INTEGER", "rollouts.id"),
            "turn": ("INTEGER", "trunk first, then branches"),
            "role": ("TEXT", "who the solver cast"),
            "writer": ("TEXT", "the model, as it was at that step"),
            "context": ("INTEGER", "contexts.id"),
            "text": ("TEXT", "what was written"),
            "ended": ("TEXT", "stop, length or said"),
            "forced": ("INTEGER", "1 where the solver gave the text"),
            "temperature": ("REAL", ""),
            "tokens": ("INTEGER", "how many"),
            "ids": ("BLOB", "the tokens, int32"),
            "logp": ("BLOB", "their log-probabilities as sampled, float32, nats; NULL where forced"),
            "entropy": ("BLOB", "the entropies they were drawn at, float32, nats; NULL where forced, or the engine does not say"),
            "advantage": ("BLOB", "float32: one number, or one for each token; NULL where the turn was not learnt from"),
        },
    ),
}
KEYS = {"metrics": "step, name", "rewards": "rollout, name", "calls": "rollout, call", "turns": "rollout, turn"}
COLUMNS = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'"  # of a file
INDICES = {"rollouts": "step, number", "contexts": "step"}


def made(table: str) -> str:
    """The statement that makes a table."""
    columns = [f'"{name}" {kind}' for name, (kind, _) in TABLES[table][1].items()]
    key = KEYS.get(table)
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join([*columns, *([f'PRIMARY KEY ({key})'] if key else [])])}){' WITHOUT ROWID' if key else ''}"


def schema_page() -> str:
    """The tables as a Markdown page."""
    lines = ["# The record of a run", "", (__doc__ or "").strip().replace("\n\n", "\n\n"), ""]
    lines += [
        '`thinkery run query RUN "SELECT name, avg(value) FROM metrics GROUP BY name"` asks it; any tool that reads SQLite can, too.',
        "",
    ]
    for table, (what, columns) in TABLES.items():
        lines += [f"## {table}", "", what[0].upper() + what[1:] + ".", "", "| column | type | what |", "|---|---|---|"]
        lines += [f"| {name} | {kind} | {meaning} |" for name, (kind, meaning) in columns.items()] + [""]
    return "\n".join(lines)
