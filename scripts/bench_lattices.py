"""Time decoder, theta series and rate of every lattice, beside a plain copy of the same bytes."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

import scripting
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from onmt_lattice.codes import LatticeCode, code_names, make_code
from onmt_lattice.lattices import lattice_names, make_lattice
from onmt_lattice.noise import StreamNoise

DESCRIPTION = """\
For each lattice and number of points, one line each for a plain copy of the points, nearest_point,
log_theta, one scale a coordinate, without and with its gradients in both, and the rate of each
code in nats with its gradients, as training takes it:

  ns/point   nanoseconds per point
  ns/dim     nanoseconds per dimension (one coordinate of one point)
  copies     the time as a multiple of the copy's
  MiB        peak extra memory in the call, its result included

Times are medians of runs in turn, so that a busy machine slows all alike; of one thread on a CPU,
the processor's own time. Compilation of kernels is not counted.
"""

LARGEST = tuple(f"conv{states}-500" for states in (16, 64, 256))
COORDINATES = 3_000_000  # at most, of all points of a line: conv64-500 is timed on up to 6,000
Task = Callable[[], torch.Tensor]


def median_seconds(tasks: dict[str, Task], device: torch.device, budget: float) -> dict[str, float]:
    """Return the median time of each task, run in turn three times or until ``budget`` is spent."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in tasks}
    end = time.perf_counter() + budget
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for name, task in tasks.items():
            start = clock()
            task()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times[name].append(clock() - start)
        rounds += 1
    return {name: sorted(runs)[rounds // 2] for name, runs in times.items()}


class MemoryMeter(TorchDispatchMode):
    """Counts the bytes of tensors made by the calls under it, and their peak, on any device."""

    def __init__(self, *before: torch.Tensor):
        super().__init__()
        self.live = self.peak = 0
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in before}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if address not in self._seen:
            self._seen.add(address)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._release, address, size)

    def _release(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self.live -= size


def peak_mebibytes(task: Task, *before: torch.Tensor) -> float:
    """Return the memory of all tensors of ``task`` at once, but for those there ``before``."""
    with MemoryMeter(*before) as meter:
        task()
    return meter.peak / 2**20


def gradient(
    value: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x: torch.Tensor, s: torch.Tensor
) -> torch.Tensor:
    """Return the gradient in the points of the sum of ``value``, that in the scales taken too."""
    x, s = (v.detach().requires_grad_() for v in (x, s))
    return torch.autograd.grad(value(x, s).sum(), (x, s))[0]


def rate(code: LatticeCode, x: torch.Tensor, log_s: torch.Tensor) -> torch.Tensor:
    """Return the gradient of all rates in the points, that in the scales taken too."""
    return gradient(
        lambda x, s: -code.log_prob(x.unsqueeze(1), s.unsqueeze(0), StreamNoise()), x, log_s
    )


def main() -> None:
    """Print the table."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-lattices", nargs="+", default=[*lattice_names(), *LARGEST])
    parser.add_argument("-codes", nargs="+", choices=code_names(), default=["discrete_gaussian"])
    parser.add_argument("-points", nargs="+", type=int, default=[1_000, 100_000])
    parser.add_argument("-dtype", choices=["float32", "float64", "bfloat16"], default="float32")
    parser.add_argument("-device", default="cpu")
    parser.add_argument("-threads", type=int, default=1, help="default: 1")
    parser.add_argument("-seconds", type=float, default=1.0, help="spent on a group of lines")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    print(f"{args.dtype} on {device}, {args.threads} thread(s), torch {torch.__version__}")
    print(
        f"{'lattice':13} {'points':>7}  {'call':24} {'ns/point':>9} {'ns/dim':>8} "
        f"{'copies':>7} {'MiB':>7}"
    )
    for name in args.lattices:
        lattice = make_lattice(name).with_second_moment(1.0)
        for count in dict.fromkeys(min(n, COORDINATES // lattice.dim) for n in args.points):
            x = (3 * torch.randn(count, lattice.dim)).to(device, dtype)
            log_s = torch.zeros(lattice.dim, dtype=dtype, device=device)
            tasks: dict[str, Task] = {"copy": x.clone}
            tasks["nearest_point"] = lambda lattice=lattice, x=x: lattice.nearest_point(x)
            tasks["log_theta"] = lambda lattice=lattice, x=x, s=log_s: lattice.log_theta(x, s)
            theta = lattice.log_theta
            tasks["log_theta, gradient"] = lambda f=theta, x=x, s=log_s: gradient(f, x, s)
            for code in (make_code(each, lattice) for each in args.codes):
                tasks[code.name] = lambda code=code, x=x, s=log_s: rate(code, x, s)
            memory = {call: peak_mebibytes(task, x, log_s) for call, task in tasks.items()}
            seconds = median_seconds(tasks, device, args.seconds)
            for call, spent in seconds.items():
                ns = spent / count * 1e9
                print(
                    f"{name:13} {count:7}  {call:24} {ns:9.2f} {ns / lattice.dim:8.2f} "
                    f"{spent / seconds['copy']:7.1f} {memory[call]:7.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    scripting.run(main)
