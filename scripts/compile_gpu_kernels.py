#!/usr/bin/env python3
"""Compile the kernels that fold convolutional lattices on GPUs, on any machine with Triton."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import scripting
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.kernels import trellis_gpu as gpu_kernels

DESCRIPTION = """\
No GPU is needed: the lattices' own calls run, with a launch replaced by the compilation for
the GPU that is named. A line a kernel: warps a program, registers a thread and bytes of stack a
thread (where registers are spilled), as cuobjdump reads them off the result, bytes of shared memory
a program, and barriers in the code.
"""
LATTICES = "conv4-8 conv64-500 conv9-20 conv2187-500 conv625-500 z4conv256-500".split()
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


def no_gpu(capability: int) -> Any:
    """Return a replacement of Triton's driver, for a GPU of ``capability``, such as 90."""
    return SimpleNamespace(
        get_current_target=lambda: GPUTarget("cuda", capability, 32),
        get_current_device=lambda: capability,  # compiled kernels are cached by it
        get_current_stream=lambda device: 0,
    )


def compiled(name: str, dtype: torch.dtype) -> list[Any]:
    """Return the kernels of lattice ``name`` in ``dtype``, compiled and not launched."""
    kernels, run = [], JITFunction.run

    def only_compile(self: JITFunction, *args: Any, **kwargs: Any) -> None:
        kernels.append(run(self, *args, **{**kwargs, "warmup": True}))

    code = make_lattice(name).encoder
    pairs = torch.zeros(1, code.sections, code.q**2, dtype=dtype, requires_grad=True)
    JITFunction.run = only_compile
    try:
        if dtype == torch.float64:  # in which points are always decoded
            gpu_kernels.best_classes(pairs, code)
        gpu_kernels.GPUPathSums.apply(pairs, code)
    finally:
        JITFunction.run = run
    return kernels


def resources(cubin: bytes) -> tuple[int, int]:
    """Return registers and bytes of stack a thread."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [CUOBJDUMP, "-res-usage", file.name]
        usage = subprocess.check_output(command, text=True)
    registers, stack = re.findall(r"\b(?:REG|STACK):(\d+)", usage)
    return int(registers), int(stack)


def main() -> None:
    """Print the table."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-lattices", nargs="+", default=LATTICES)
    parser.add_argument("-capability", nargs="+", type=int, default=[80, 90])
    args = parser.parse_args()
    print(f"Triton {triton.__version__}, torch {torch.__version__}")
    print("lattice        dtype    GPU    kernel       warps  registers  stack  shared  barriers")
    for name in args.lattices:
        for dtype in (torch.float32, torch.float64):
            for capability in args.capability:
                driver.set_active(no_gpu(capability))
                for kernel in compiled(name, dtype):
                    barriers = len(re.findall(r"\bbar(?:\.warp)?\.sync\b", kernel.asm["ptx"]))
                    (registers, stack), facts = resources(kernel.asm["cubin"]), kernel.metadata
                    print(
                        f"{name:14} {str(dtype)[6:]:8} sm_{capability:<3} {facts.name:12} "
                        f"{facts.num_warps:5}  {registers:9}  {stack:5}  {facts.shared:6}  "
                        f"{barriers:8}",
                        flush=True,
                    )


if __name__ == "__main__":
    scripting.run(main)
