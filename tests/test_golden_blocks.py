"""Streams that were written once decode in every later version, on any machine.

``make test-oldest`` runs these with the oldest versions of torch and numpy that setup.py admits.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from golden_blocks import digest, frozen, goldens

from onmt_lattice.bitstream import BitstreamError

GOLDENS, FROZEN = goldens(), frozen()
HERE = Path(__file__).parent
ENVIRONMENTS: list[dict[str, str]] = [
    {
        **{"OMP_NUM_THREADS": "1", "MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"},
        **{"OPENBLAS_CORETYPE": "Nehalem", "NUMBA_CPU_NAME": "generic"},
        **{"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX"},
    },
    {"OMP_NUM_THREADS": "2", "MKL_CBWR": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
]


def python_in(environment: dict[str, str], *words: object, cwd: Path | None = None) -> str:
    """Return what Python prints in a process of its own, with variables of ``environment``."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    own = {**os.environ, "PYTHONPATH": path, **environment}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", GOLDENS)
def test_a_frozen_block_holds_what_it_held(name: str) -> None:
    golden = GOLDENS[name]
    assert torch.equal(golden.decode(FROZEN[name]), golden.integers)


@pytest.mark.parametrize("name", GOLDENS)
def test_the_same_is_written_today(name: str) -> None:
    assert GOLDENS[name].encode() == FROZEN[name]


def test_no_block_decodes_as_another_s() -> None:
    for name, golden in GOLDENS.items():
        for other, data in FROZEN.items():
            if other != name:
                with pytest.raises(BitstreamError):
                    golden.decode(data)


def test_other_processes_read_and_write_the_same() -> None:
    """With another number of threads, and other instructions in torch's and MKL's kernels."""
    said = [python_in(environment, HERE / "golden_blocks.py") for environment in ENVIRONMENTS]
    assert said == [f"{digest()}\n"] * len(ENVIRONMENTS)
