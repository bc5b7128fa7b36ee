"""The data sets that are known, by name."""

from __future__ import annotations

from . import arithmetic, checks, choices, code, lookup, puzzles, sokoban
from .dataset import Dataset, Files

AIME = "(c) MAA; the copies' repositories are MIT and Apache-2.0"
LOGIC_LM = "Logic-LM's copy (github.com/teacherpeterpan/Logic-LLM)"
BOXED = "Put the final answer in \\boxed{}."
FENCE = "End with the whole program between ```python and ```."
MATH_TRAIN = (Files("train_level5/*.json", "train"), Files("mathlighteval_train.jsonl", "train"))

ARITHMETIC = (
    Dataset(
        "gsm8k", "GSM8K", "grade-school arithmetic in words, 2 to 8 steps", "arXiv:2110.14168, github.com/openai/grade-school-math", "MIT",
        "gsm8k", (Files("train.jsonl", "train"), Files("test.jsonl", "test")), arithmetic.gsm8k, "number",
        "exact match of the number behind ####, commas taken out", hub="openai/gsm8k:main", hub_splits={"train": "train", "test": "test"},
    ),
    Dataset(
        "svamp", "SVAMP", "whether small changes of a word problem are noticed", "arXiv:2103.07191, github.com/arkilpatel/SVAMP", "MIT",
        "word_problems", (Files("svamp_test.jsonl", "test"),), arithmetic.svamp, "number", "the number",
    ),
    Dataset(
        "asdiv", "ASDiv", "word problems of many kinds, grades 1 to 6", "arXiv:2106.15772, github.com/chaochun/nlu-asdiv-dataset", "CC BY-NC 4.0",
        "word_problems", (Files("asdiv_test.jsonl", "test"),), arithmetic.asdiv, "value",
        "the number; where the answer is none (a ratio, a time, a name), its words", 'End with "Answer:" and the answer alone, without a unit.',
        checks.value,
    ),
    Dataset(
        "mawps", "MAWPS", "one- and two-step word problems (AddSub, MultiArith, SingleEq, SingleOp)",
        "Koncel-Kedziorski et al. 2016, github.com/sroy9/mawps", "MIT", "word_problems", (Files("mawps_test.jsonl", "test"),),
        arithmetic.mawps, "number", "the number",
    ),
    Dataset(
        "math", "MATH", "competition mathematics, levels 1 to 5", "arXiv:2103.03874, github.com/hendrycks/math", "MIT", "math",
        (*MATH_TRAIN, Files("test.jsonl", "test")), arithmetic.mathematics, "math", "equality of the boxed expressions", BOXED, max_tokens=2048,
    ),
    Dataset(
        "math500", "MATH-500", "500 of MATH's test problems, as in PRM800K", "arXiv:2305.20050, github.com/openai/prm800k", "MIT", "math",
        (*MATH_TRAIN, Files("math500.jsonl", "test")), arithmetic.mathematics, "math", "equality of the boxed expressions", BOXED, max_tokens=2048,
        hub="HuggingFaceH4/MATH-500", hub_splits={"test": "test"},
    ),
    Dataset(
        "aime", "AIME", "hard competition problems whose answer is a whole number below 1000; test: 2024, train: 2021 to 2023",
        "artofproblemsolving.com/wiki", AIME, "competition_math",
        (Files("aime_2021_2024.jsonl", "train"), Files("aime24.jsonl", "test")), arithmetic.contest, "number", "the number", max_tokens=4096,
    ),
    Dataset(
        "amc", "AMC 12", "competition problems of 2022 and 2023 with a number as answer", "artofproblemsolving.com/wiki", AIME,
        "competition_math", (Files("amc_logic_rl.jsonl", "test"),), arithmetic.contest, "number", "the number", max_tokens=4096,
    ),
)  # fmt: skip

LOGIC = (
    Dataset(
        "knights_and_knaves", "Knights and Knaves", "deduction about who lies, 3 to 7 people", "arXiv:2410.23123, github.com/Unakar/Logic-RL",
        "Apache-2.0", "knights_and_knaves", (Files("*ppl_train.jsonl", "train"), Files("*ppl_test.jsonl", "test")), puzzles.roles, "roles",
        "everybody's role right", 'End with "Answer:" and one line for each: NAME is a knight, or NAME is a knave.', puzzles.all_roles,
        max_tokens=2048,
    ),
    Dataset(
        "saturn_sat", "Saturn", "satisfiability: 3 to 6 literals a clause, 5 to 8 variables", "arXiv:2505.16368, github.com/gtxygyzb/Saturn-code",
        "Apache-2.0", "saturn_sat", (Files("train__*__train.jsonl", "train"), Files("train__*__test.jsonl", "validation"),
        Files("test__*.jsonl", "test")), puzzles.satisfiable, "assignment", "any assignment under which all clauses hold",
        "Put one digit a variable in \\boxed{}, in their order: 1 for true, 0 for false, as in \\boxed{101}.", puzzles.assignment, max_tokens=2048,
    ),
    Dataset(
        "folio", "FOLIO", "whether a conclusion follows in first-order logic, in everyday words",
        "arXiv:2209.00840, github.com/Yale-LILY/FOLIO, v0.0", "CC BY-SA 4.0", "folio",
        (Files("folio-train.jsonl", "train"), Files("folio-validation.jsonl", "test")), choices.folio, "label", "the label; Unknown is Uncertain",
        'End with "Answer:" and True, False or Uncertain.', checks.label, max_tokens=1024,
    ),
    Dataset(
        "proofwriter", "ProofWriter", "proofs of depth 5 from rules in an open world", f"arXiv:2012.13048; {LOGIC_LM}", "CC BY 4.0", "logic_llm",
        (Files("ProofWriter_train.json", "train"), Files("ProofWriter_dev.json", "validation"), Files("ProofWriter_test.json", "test")),
        choices.deduced, "choice", "the letter", max_tokens=1024,
    ),
    Dataset(
        "prontoqa", "ProntoQA", "chains of deduction over words that mean nothing, 5 hops", f"arXiv:2210.01240; {LOGIC_LM}", "Apache-2.0",
        "logic_llm", (Files("ProntoQA_dev.json", "test"),), choices.deduced, "choice", "the letter", max_tokens=1024,
    ),
    Dataset(
        "ar_lsat", "AR-LSAT", "analytical reasoning of the law school test", f"arXiv:2104.06598; {LOGIC_LM}", "MIT", "logic_llm",
        (Files("AR-LSAT_train.json", "train"), Files("AR-LSAT_dev.json", "validation"), Files("AR-LSAT_test.json", "test")),
        choices.deduced, "choice", "the letter", max_tokens=1024,
    ),
    Dataset(
        "logiqa2", "LogiQA 2.0", "reading and reasoning of the Chinese civil service test, in English",
        "doi:10.1109/TASLP.2023.3293046, github.com/csitfun/LogiQA2.0", "CC BY-NC-SA 4.0", "logiqa2",
        (Files("dev.jsonl", "validation"), Files("test.jsonl", "test")), choices.logiqa, "choice", "the letter", max_tokens=1024,
    ),
    Dataset(
        "bbh", "BIG-Bench Hard", "27 tasks that models before 2022 failed (bbh:navigate is one); for evaluation alone",
        "arXiv:2210.09261, github.com/suzgunmirac/BIG-Bench-Hard", "MIT", "bbh", (Files("*.json", "test"),), choices.hard, "option",
        "exact match of the target; an option by its letter", 'End with "Answer:" and the answer alone; of options, the letter, as in (A).',
        checks.option, max_tokens=1024,
    ),
    Dataset(
        "boxoban", "Boxoban", "planning: Sokoban with four boxes on ten by ten cells", "arXiv:1901.03559, github.com/google-deepmind/boxoban-levels",
        "Apache-2.0", "boxoban", (Files("hard_*.txt", "content"), Files("medium_valid_*.txt", "validation")), sokoban.sokoban, "plan",
        "every box on a goal after the last move",
        "Push every box onto a goal. End with \"Answer:\" and the moves u, d, l, r in a row, as in uulld.", sokoban.plan, max_tokens=1024,
        solve=lambda problem: sokoban.solved(problem.data.facts),
    ),
)  # fmt: skip

READING = (
    Dataset(
        "babi", "bAbI", "20 kinds of reasoning over a short story (babi:qa19 is one)", "arXiv:1502.05698, tasks_1-20_v1-2, English", "CC BY 3.0",
        "babi", (Files("*_train.txt", "train"), Files("*_test.txt", "test")), choices.story, "words",
        "the whole answer; a list counts in any order, a path in its own",
        'End with "Answer:" and one word; several words, and the directions n, e, s, w of a path, with commas between.', checks.words,
    ),
    Dataset(
        "commonsense_qa", "CommonsenseQA", "everyday knowledge; test is the published dev file, train has ECQA's rationales",
        "arXiv:1811.00937; ECQA: doi:10.18653/v1/2021.acl-long.238", "MIT; ECQA's rows from FLAN, Apache-2.0", "commonsense",
        (Files("flan_cot_ecqa.tsv", "train"), Files("csqa_dev.jsonl", "test")), choices.commonsense, "choice", "the letter",
    ),
    Dataset(
        "strategyqa", "StrategyQA", "yes or no by steps that the question does not name", "arXiv:2101.02235; BIG-bench's copy", "MIT",
        "commonsense", (Files("strategyqa_task.json", "content"),), choices.strategy, "exact", "yes or no", 'End with "Answer:" and yes or no.',
    ),
    Dataset(
        "hotpotqa", "HotpotQA, distractor", "two facts from ten given paragraphs; rows of the dev set", "arXiv:1809.09600, hotpotqa.github.io",
        "CC BY-SA 4.0", "hotpotqa_paragraphs", (Files("distractor100_*.jsonl", "test"),), choices.paragraphs, "span",
        "exact match after SQuAD's normalising; F1 as the part f1", 'End with "Answer:" and the answer alone, in few words or yes or no.',
        checks.span, hub="hotpotqa/hotpot_qa:distractor", hub_splits={"train": "train", "validation": "test"},
    ),
    Dataset(
        "hotpotqa_fullwiki", "HotpotQA, full wiki", "as hotpotqa, with retrieved paragraphs: all that is needed is there in about 30 % of the rows",
        "arXiv:1809.09600, hotpotqa.github.io", "CC BY-SA 4.0", "hotpotqa_paragraphs", (Files("fullwiki300.jsonl", "test"),),
        choices.paragraphs, "span", "exact match after SQuAD's normalising; F1 as the part f1",
        'End with "Answer:" and the answer alone, in few words or yes or no.', checks.span,
    ),
    Dataset(
        "hotpotqa_search", "HotpotQA, searched", "as hotpotqa, with nothing but the question: all files' paragraphs can be searched",
        "arXiv:1809.09600, hotpotqa.github.io", "CC BY-SA 4.0", "hotpotqa_paragraphs", (Files("distractor100_*.jsonl", "test"),),
        lookup.unread, "span", "exact match after SQuAD's normalising; F1 as the part f1",
        'Search for paragraphs that say it. End with "Answer:" and the answer alone, in few words or yes or no.', checks.span,
        lend=lookup.paragraphs,
    ),
    Dataset(
        "metaqa", "MetaQA", "1 to 3 hops in a graph of films (metaqa:2hop is one depth)", "arXiv:1709.04071, github.com/yuyuz/MetaQA", "CC BY 3.0",
        "metaqa", (Files("?hop_dev.tsv", "validation"), Files("?hop_test.tsv", "test")), choices.film, "names",
        "all answers and no other; hits@1 as the part hit", 'End with "Answer:" and all answers, separated by |.', checks.listed,
    ),
    Dataset(
        "metaqa_graph", "MetaQA, with its graph", "as metaqa, with the graph of films to look at", "arXiv:1709.04071, github.com/yuyuz/MetaQA",
        "CC BY 3.0", "metaqa", (Files("?hop_dev.tsv", "validation"), Files("?hop_test.tsv", "test")), choices.film, "names",
        "all answers and no other; hits@1 as the part hit",
        'Look at the facts of the graph, which are about films. End with "Answer:" and all answers, separated by |.', checks.listed,
        lend=lookup.films,
    ),
)  # fmt: skip

CODE = (
    Dataset(
        "humaneval", "HumanEval", "Python functions from their description; for evaluation alone", "arXiv:2107.03374, github.com/openai/human-eval",
        "MIT", "humaneval", (Files("HumanEval.jsonl", "test"),), code.humaneval, "program", "all tests pass; one reply is pass@1", FENCE,
        code.by_tests, max_tokens=1024, hub="openai/openai_humaneval", hub_splits={"test": "test"},
    ),
    Dataset(
        "mbpp", "MBPP", "short Python programs from a sentence and three tests", "arXiv:2108.07732, google-research/mbpp", "CC BY 4.0", "mbpp",
        (Files("mbpp.jsonl", "row"),), code.mbpp, "program", "the three tests pass; one reply is pass@1", FENCE, code.by_tests, max_tokens=1024,
        hub="google-research-datasets/mbpp:full", hub_splits=dict.fromkeys(("train", "validation", "test", "prompt"), "row"),
    ),
    Dataset(
        "spider", "Spider", "SQL for a question over a database of several tables; test is the published dev file",
        "arXiv:1809.08887, github.com/taoyds/spider; databases: github.com/cloudera/spiderman", "CC BY-SA 4.0", "spider",
        (Files("dev.json", "test"),), code.spider, "sql",
        "execution: the same rows, in order where the gold query orders; columns in any order",
        "End with one SQLite query between ```sql and ```.", code.by_rows,
    ),
)  # fmt: skip

DATASETS: dict[str, Dataset] = {d.name: d for d in (*ARITHMETIC, *LOGIC, *READING, *CODE)}
