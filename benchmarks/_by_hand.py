"""A plain torch loop over one of ecgsk's networks, for benchmarks to compare with."""

import math
import statistics
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ecgsk._training.float_precision import float32_products


def train(network: nn.Module, X, Y, *, batch_size, device, precision, epochs=2) -> float:
    """Return the seconds of an epoch, the median of those after the first.

    Without targets the network is a `MaskedMTECG`, which fills masked segments.
    """
    network = network.to(device).train()
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    kind = device.partition(":")[0]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        fused=kind == "cuda" or None,
    )
    n_steps, step, seconds = epochs * math.ceil(len(X) / batch_size), 0, []
    with float32_products(device, allow_tf32=precision == "tf32"):
        for _ in range(epochs):
            start = time.perf_counter()
            order = torch.randperm(len(X)).numpy()
            total = torch.zeros((), device=device)
            for first in range(0, len(X), batch_size):
                rows = order[first : first + batch_size]
                x = torch.from_numpy(X[rows]).to(device)
                for group in optimizer.param_groups:
                    group["lr"] = 5e-4 * 0.5 * (1 + math.cos(math.pi * step / n_steps))
                step += 1
                optimizer.zero_grad()
                with torch.autocast(kind, torch.bfloat16, precision == "bf16"):
                    if Y is None:
                        mask = network.draw_order(len(x)).to(device)
                        segments = network.segments(x)
                        features = network.features(segments, mask)
                    else:
                        features = network.features(x)
                logits = network.head(features.float())
                if Y is None:
                    loss = F.mse_loss(logits, network.targets(segments, mask))
                else:
                    y = torch.from_numpy(Y[rows]).to(device, torch.float32)
                    loss = F.binary_cross_entropy_with_logits(logits, y)
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(x)
            total.item()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


@torch.inference_mode()
def predict(network: nn.Module, X, *, batch_size, device, precision="float32") -> np.ndarray:
    """Return logits."""
    network.eval()
    kind = device.partition(":")[0]
    found = []
    with float32_products(device, allow_tf32=False):
        for first in range(0, len(X), batch_size):
            x = torch.from_numpy(X[first : first + batch_size]).to(device)
            with torch.autocast(kind, torch.bfloat16, precision == "bf16"):
                features = network.features(x)
            found.append(network.head(features.float()))
    return torch.cat(found).cpu().numpy()
