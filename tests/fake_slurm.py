"""The commands of Slurm that a sweep and its jobs call, as shell scripts; jobs run at once.

A file ``hold`` in the folder keeps jobs in the queue. A job is cancelled with SIGINT, which the
task passes on, in place of SIGKILL to all processes of the job.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

SBATCH = """
id=$((1000 + $(ls "$D" | grep -c 'script$') + 1))
cp "$1" "$D/$id.script"
echo PENDING > "$D/$id.state"
setsid "$D/bin/slurmd" $id < /dev/null > "$D/$id.out" 2>&1 &
echo "Submitted batch job $id"
"""
# Not of Slurm: brings one job from the queue to its end, again after each requeue.
SLURMD = """
export SLURM_JOB_ID=$1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=1 SLURM_CPUS_ON_NODE=3
while true; do
  while [ -e "$D/hold" ]; do sleep 0.05; done
  echo RUNNING > "$D/$1.state"
  bash "$D/$1.script"; status=$?
  [ "$(cat "$D/$1.state")" = RUNNING ] || exit
  [ -e "$D/$1.requeue" ] || break
  rm "$D/$1.requeue"; echo PENDING > "$D/$1.state"
done
if [ $status = 0 ]; then echo COMPLETED; else echo FAILED; fi > "$D/$1.state"
"""
SRUN = """
while [ "${1#--}" != "$1" ]; do
  case $1 in
    --output) out=$2; shift;;
    --error) err=$2; shift;;
  esac
  shift
done
name() { echo "$1" | sed "s/%j/$SLURM_JOB_ID/; s/%t/0/"; }
echo $$ > "$D/$SLURM_JOB_ID.pid"
exec "$@" >> "$(name "$out")" 2>> "$(name "$err")"
"""
SQUEUE = """
grep -lE 'PENDING|RUNNING' "$D"/*.state | sed 's/.*[/]//; s/[.]state//'
exit 0
"""
SACCT = """
echo 'JobID|State|NodeList'
for state in "$D"/*.state; do id=$(basename "$state" .state); echo "$id|$(cat "$state")|n1"; done
"""
SCONTROL = """[ "$1" = requeue ] && touch "$D/$2.requeue" """
SCANCEL = """
echo "CANCELLED by 1" > "$D/$1.state"
kill -INT $(cat "$D/$1.pid")
"""
COMMANDS = {
    "sbatch": SBATCH,
    "slurmd": SLURMD,
    "srun": SRUN,
    "squeue": SQUEUE,
    "sacct": SACCT,
    "scontrol": SCONTROL,
    "scancel": SCANCEL,
}


class FakeSlurm:
    """The jobs of a cluster that is this machine, kept in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, folder / "bin"
        self.programs.mkdir(parents=True)
        for name, text in COMMANDS.items():
            path = self.programs / name
            path.write_text(f"#!/bin/bash\nD='{folder}'\n{text.lstrip()}", encoding="utf-8")
            path.chmod(0o755)

    def submitted(self) -> list[str]:
        """Return the numbers of all jobs that were ever submitted."""
        return sorted(path.stem for path in self.folder.glob("*.script"))

    def flags(self, job: str) -> list[str]:
        """Return what the script of ``job`` asks ``sbatch`` for."""
        lines = (self.folder / f"{job}.script").read_text(encoding="utf-8").splitlines()
        return [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]

    def preempt(self, job: str) -> None:
        """Send ``job`` what Slurm sends when it wants the node for another."""
        pid = int((self.folder / f"{job}.pid").read_text(encoding="utf-8"))
        for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGUSR2):
            os.kill(pid, number)
