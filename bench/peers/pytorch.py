"""PyTorch as a contestant: the same Llama by transformers and PEFT in float32, eager, on CUDA where there is one, else on the processor.

Reads the steps to time as JSON from standard input and prints device, versions and milliseconds of each as JSON; where a package is missing, which.
"""

from __future__ import annotations

import gc
import json
import platform
import statistics
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Callable

PACKAGES = ("torch", "transformers", "peft")

# As the recipe of our own steps.
CLIP_NORM = 1.0
LEARNING_RATE = 1e-3

# Every linear layer of a block, as "Every linear layer" of our LoRA.
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def missing_packages() -> list[str]:
    """Those of `PACKAGES` that cannot be imported."""
    missing = []
    for name in PACKAGES:
        try:
            import_module(name)
        except ImportError:
            missing.append(name)
    return missing


def make_model(spec: dict[str, Any]) -> Any:
    """A Llama of random weights with what `spec` trains."""
    import peft
    import transformers

    shape = spec["shape"]
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=shape["vocabulary"],
            hidden_size=shape["hidden"],
            intermediate_size=shape["intermediate"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"],
            num_key_value_heads=shape["heads"],
            max_position_embeddings=1024,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )
    options = spec.get("options", {})
    if spec["method"] == "lora":
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=options["rank"], lora_alpha=options["alpha"], target_modules=LORA_TARGETS
        )
        return peft.get_peft_model(model, config)
    if spec["method"] == "softPrompt":
        config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=options["virtualTokens"])
        return peft.get_peft_model(model, config)
    return model


def make_step(spec: dict[str, Any], device: Any) -> Callable[[], float]:
    """One whole step with AdamW in its fused form; returns its loss, read back as ours is."""
    import torch

    model = make_model(spec).to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=LEARNING_RATE, fused=True)
    ids = torch.randint(spec["shape"]["vocabulary"], (spec["batch"], spec["time"]), device=device)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP_NORM)
        optimiser.step()
        return loss.item()

    return step


def measure(spec: dict[str, Any], device: Any, rounds: int, warm_up: int) -> tuple[float, float]:
    """Median milliseconds of a step, and the last loss."""
    import torch

    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    step = make_step(spec, device)
    loss = float("nan")
    times = []
    for at in range(-warm_up, rounds):
        synchronise()
        started = time.perf_counter()
        loss = step()
        synchronise()
        if at >= 0:
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times), loss


def name_of(device: Any) -> str:
    """The graphics card, or the processor and the threads that compute on it."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    processors = Path("/proc/cpuinfo")
    lines = processors.read_text(encoding="utf8").splitlines() if processors.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"


def main() -> None:
    work = json.load(sys.stdin)
    missing = missing_packages()
    if missing:
        print(json.dumps({"missing": missing}))
        return
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    # Float32 as ours: no rounding to TensorFloat-32.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = []
    for step in work["steps"]:
        milliseconds, loss = measure(step["spec"], device, work["rounds"], work["warmUp"])
        steps.append({"name": step["name"], "milliseconds": milliseconds, "loss": loss})
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    versions = {name: import_module(name).__version__ for name in PACKAGES}
    print(json.dumps({"device": name_of(device), "onProcessor": device.type == "cpu", "versions": versions, "steps": steps}))


if __name__ == "__main__":
    main()
