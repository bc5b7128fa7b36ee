"""The table of docs/memory.md: what training a Qwen3 of 0.6B to 8B needs, by the formulas of `thinkery train --plan`.

Run with --write to bring the page up to date; a test fails when it is not.
"""

from __future__ import annotations

import sys
from pathlib import Path

from thinkery.lab.plan import GIB, activation_bytes, adapter_values, kv_bytes, logit_bytes, parameters, state_bytes, weight_bytes
from thinkery.models.adapters import Lora
from thinkery.models.decoder import DecoderConfig

PAGE = Path(__file__).resolve().parents[1] / "docs" / "memory.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"
MODELS = {
    "Qwen3-0.6B": DecoderConfig(151936, 1024, 28, 16, 8, 128, 3072, qk_norm=True),
    "Qwen3-1.7B": DecoderConfig(151936, 2048, 28, 16, 8, 128, 6144, qk_norm=True),
    "Qwen3-4B": DecoderConfig(151936, 2560, 36, 32, 8, 128, 9728, qk_norm=True),
    "Qwen3-8B": DecoderConfig(151936, 4096, 36, 32, 8, 128, 12288, qk_norm=True, tied=False),
}
RANK, CHUNK = 32, 1024  # of LoRA on all matrices; rows of logits held at once


def trained(c: DecoderConfig, tokens: int, nf4: bool) -> float:
    """GiB of weights, adapter with its moments, activations of so many tokens with checkpointed layers, and a chunk of logits."""
    written = 2 * c.feed_forward * c.width if nf4 else 0
    states = state_bytes(adapter_values(c, Lora(RANK)))
    return (weight_bytes(c, nf4=nf4) + states + activation_bytes(c, tokens) + logit_bytes(c, CHUNK) + written) / GIB


def table() -> str:
    """As Markdown."""
    lines = [
        "| model | parameters | weights bf16 / NF4 | adapter, moments | KV a token | LoRA, 2k / 8k tokens | QLoRA, 2k / 8k | KV, 16 x 2k | all weights, fp32 AdamW |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, c in MODELS.items():
        lines.append(
            f"| {name} | {parameters(c) / 1e9:.3f} B | {weight_bytes(c) / GIB:.2f} / {weight_bytes(c, nf4=True) / GIB:.2f} "
            f"| {state_bytes(adapter_values(c, Lora(RANK))) / GIB:.2f} | {kv_bytes(c) / 1024:.0f} KiB "
            f"| {trained(c, 2048, False):.1f} / {trained(c, 8192, False):.1f} | {trained(c, 2048, True):.1f} / {trained(c, 8192, True):.1f} "
            f"| {kv_bytes(c) * 16 * 2048 / GIB:.1f} | {state_bytes(parameters(c)) / GIB:.1f} |"
        )
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table as it is now."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(table())
