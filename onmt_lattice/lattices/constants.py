"""Constant tensors on the devices where they are used, each copied there once.

Copying one again at each use would have the host wait for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_COPIES = WeakTensorKeyDictionary()


def on(constant: Tensor, device: torch.device) -> Tensor:
    """Return ``constant``, which nothing changes, on ``device``."""
    if constant.device == device:
        return constant
    copies = _COPIES.setdefault(constant, {})
    if device not in copies:
        copies[device] = constant.to(device)
    copy: Tensor = copies[device]
    return copy
