"""A stand-in for a vLLM server, on a tiny model of our own, so that its numbers are real; faults can be switched on.

raw      log-probabilities know nothing of temperature
hot      temperatures are changed on the way
stale    new adapters and weights are accepted and not used
old      no token ids come back
reads    prompts are read as other tokens
"""

from __future__ import annotations

import copy
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.engines.servers import Fault, Stub
from thinkery.models.adapters import load_adapter, read_adapter
from thinkery.models.decoder import Decoder
from thinkery.models.layout import rectangle
from thinkery.models.model import Model, load_model


class Vllm(Stub):
    """routes as vLLM has them; `ids` adds the newer one, `development` those that take weights."""

    def __init__(self, model: Model, ids: bool = True, development: bool = True, adapters: bool = True) -> None:
        self.tokenizer, self.weights = model.tokenizer, {"base": copy.deepcopy(model.decoder)}
        self.flags: set[str] = set()
        self.busy, self.connections = threading.Lock(), threading.local()
        routes = {
            "/version": lambda _: {"version": "0.99.stub"},
            "/v1/models": lambda _: {"data": [{"id": name} for name in self.weights]},
            "/v1/completions": self.completions,
        }
        routes |= {"/inference/v1/generate": self.generate} if ids else {}
        routes |= {"/collective_rpc": self.rpc, "/reset_prefix_cache": lambda _: None} if development else {}
        routes |= {"/v1/load_lora_adapter": self.load, "/v1/unload_lora_adapter": self.unload} if adapters else {}
        super().__init__(routes)

    def handle(self, request: BaseHTTPRequestHandler, body: Any) -> None:
        self.connections.current = request.connection
        super().handle(request, body)

    def gone(self) -> bool:
        """Whether the client has hung up."""
        s: socket.socket = self.connections.current
        return bool(select.select([s], [], [], 0)[0]) and s.recv(1, socket.MSG_PEEK) == b""

    # ---- weights

    def load(self, body: Any) -> str:
        if body["lora_name"] in self.weights:
            raise Fault(400, {"error": {"message": "loaded already"}})
        decoder = copy.deepcopy(self.weights["base"])
        if "stale" in self.flags and len(self.weights) > 1:
            decoder = self.weights[list(self.weights)[-1]]
        else:
            load_adapter(decoder, *read_adapter(Path(body["lora_path"])), Path(body["lora_path"]))
        self.weights[body["lora_name"]] = decoder
        return f"Success: LoRA adapter '{body['lora_name']}' added successfully."

    def unload(self, body: Any) -> str:
        del self.weights[body["lora_name"]]
        return "Success"

    def rpc(self, body: Any) -> Any:
        assert body["method"] == "reload_weights"
        if "stale" not in self.flags:
            self.weights["base"] = load_model(body["kwargs"]["weights_path"]).decoder
        return {"results": [None]}

    # ---- tokens

    def generate(self, body: Any) -> Any:
        ids, logps, reason, _ = self.decode(body["token_ids"], body, body["sampling_params"])
        content = [{"token": f"token_id:{i}", "logprob": x, "top_logprobs": []} for i, x in zip(ids, logps)]
        return {"request_id": "r", "choices": [{"index": 0, "token_ids": ids, "logprobs": {"content": content}, "finish_reason": reason}]}

    def completions(self, body: Any) -> Any:
        assert body["return_token_ids"]
        ids, logps, reason, prompt = self.decode(body["prompt"], body, body)
        choice = {"index": 0, "text": self.tokenizer.decode(tuple(ids)), "finish_reason": reason, "stop_reason": None}
        choice |= {"logprobs": {"tokens": [], "token_logprobs": logps, "top_logprobs": None}}
        if "old" not in self.flags:
            choice |= {"token_ids": ids, "prompt_token_ids": [*body["prompt"], 5] if "reads" in self.flags else body["prompt"]}
        return {"choices": [choice | {"prompt_logprobs": prompt}], "usage": {"completion_tokens": len(ids)}}

    @torch.no_grad()
    def decode(self, prompt: list[int], body: Any, s: Any) -> tuple[list[int], list[float], str, Any]:
        """Tokens, their processed log-probabilities, the reason, and the prompt's log-probabilities if they were asked for."""
        if body["model"] not in self.weights:
            raise Fault(404, {"error": {"message": f"The model {body['model']} does not exist."}})
        decoder, draws = self.weights[body["model"]], np.random.default_rng(s["seed"])
        temperature = s["temperature"] * (1.6 if "hot" in self.flags else 1)
        ids: list[int] = []
        logps: list[float] = []
        told = None if "prompt_logprobs" not in s else [None, *self.told(decoder, prompt)]
        while len(ids) < s["max_tokens"]:
            if self.gone():
                raise Fault(0)
            with self.busy:
                logits = decoder.logits(decoder(rectangle([[*prompt, *ids]]))[-1:])[0].double()
            processed = kept(logits / (temperature or 1.0), s["top_p"], s["top_k"]).log_softmax(-1)
            token = int(processed.argmax()) if not temperature else pick(processed.exp().numpy(), draws.random())
            ids.append(token)
            logps.append(float((logits.log_softmax(-1) if "raw" in self.flags else processed)[token]))
            text = self.tokenizer.decode(tuple(ids))
            if token in s["stop_token_ids"] or any(stop in text for stop in s.get("stop", ())):
                return ids, logps, "stop", told
        return ids, logps, "length", told

    def told(self, decoder: Decoder, prompt: list[int]) -> list[dict[str, Any]]:
        logps = decoder.logits(decoder(rectangle([prompt[:-1]]))).log_softmax(-1)
        return [{str(t): {"logprob": float(row[t]), "rank": 1, "decoded_token": "?"}} for row, t in zip(logps, prompt[1:])]


def kept(logits: torch.Tensor, top_p: float, top_k: int) -> torch.Tensor:
    """Logits outside the nucleus and the top k as -inf."""
    order = logits.softmax(-1).sort(descending=True)
    keep = order.values.cumsum(-1) - order.values < top_p
    keep &= torch.arange(len(keep)) < (top_k if top_k > 0 else len(keep))
    return torch.full_like(logits, -torch.inf).scatter(0, order.indices[keep], logits[order.indices[keep]])


def pick(p: np.ndarray, u: float) -> int:
    """An index by its probability."""
    return int(min(np.searchsorted(p.cumsum() / p.sum(), u, side="right"), len(p) - 1))
