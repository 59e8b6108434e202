"""Runs one command and says what it cost this machine: time, processor, memory, open files.

The command gets a control group of its own, so that whatever it leaves running (OpenSSH's control masters) is counted
and can be ended with it. Processor time is the kernel's own sum. Memory and files are sampled for at most a twentieth of the
time, so that the measuring does not cost what it measures; what is left running is looked at once more when it is over.
"""

import contextlib
import os
import select
import subprocess
import time
from pathlib import Path

SHARE = 20
LEAST_PAUSE = 0.02
# What looking at one process takes, in seconds, until it is known.
FIRST_GUESS = 0.001


def hierarchy() -> Path:
    """The root of the unified hierarchy."""
    hybrid = Path("/sys/fs/cgroup/unified")
    return hybrid if hybrid.is_dir() else Path("/sys/fs/cgroup")


class Failed(Exception):
    """A measured command that did not do what it should."""


class Group:
    """A control group for what is measured; all of its processes end with it."""

    count = 0

    def __enter__(self):
        Group.count += 1
        self.path = hierarchy() / f"deploy-bench-{os.getpid()}-{Group.count}"
        self.path.mkdir()
        return self

    def __exit__(self, *_):
        (self.path / "cgroup.kill").write_text("1")
        for _ in range(200):
            with contextlib.suppress(OSError):
                self.path.rmdir()
                return
            time.sleep(0.05)

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        lines = dict(line.split() for line in (self.path / "cpu.stat").read_text().splitlines())
        return int(lines["usage_usec"]) / 1e6

    def processes(self) -> list[int]:
        return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]

    def run(self, command, log: Path, seconds: float, environment=None) -> dict:
        """Runs it to its end, `seconds` at most. Memory in KiB, of the command itself and of all that it started."""
        before = self.cpu()
        own, all_of_it = {"memory": 0, "files": 0}, {"memory": 0, "files": 0}
        spent, each = 0.0, FIRST_GUESS
        with log.open("wb") as output:
            begun = time.monotonic()
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | (environment or {}),
                preexec_fn=lambda: (self.path / "cgroup.procs").write_text("0"),
            )
            handle = os.pidfd_open(child.pid)
            ended = select.poll()
            ended.register(handle, select.POLLIN)
            while not ended.poll(LEAST_PAUSE * 1000):
                sampled = time.monotonic()
                if sampled - begun > seconds:
                    child.kill()
                    child.wait()
                    raise Failed(f"{command[0]} took more than {seconds:.0f} s; see {log}")
                own = most(own, looked_at(child.pid, "status", "VmHWM:"))
                processes = self.processes()
                if spent + each * len(processes) < (sampled - begun) / SHARE:
                    all_of_it = most(all_of_it, total(processes))
                    took = time.monotonic() - sampled
                    spent, each = spent + took, took / max(1, len(processes))
            wall = time.monotonic() - begun
            os.close(handle)
        if child.wait() != 0:
            raise Failed(f"{command[0]} ended with {child.returncode}; see {log}")
        cpu = self.cpu() - before
        left = total(self.processes())
        all_of_it = most(all_of_it, {name: own[name] + left[name] for name in own})
        return {
            "wall": wall,
            "cpu": cpu,
            "own_memory": own["memory"],
            "own_files": own["files"],
            "memory": all_of_it["memory"],
            "files": all_of_it["files"],
        }


def most(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    """The greater of each."""
    return {name: max(first[name], second[name]) for name in first}


def total(processes: list[int]) -> dict[str, int]:
    """What they have together; memory that several share is counted once."""
    looks = [looked_at(process, "smaps_rollup", "Pss:") for process in processes]
    return {name: sum(look[name] for look in looks) for name in ("memory", "files")}


def looked_at(process: int, table: str, key: str) -> dict[str, int]:
    """Memory by the line of a kernel's table, in KiB, and open files; nothing where it has ended meanwhile."""
    folder = Path(f"/proc/{process}")
    with contextlib.suppress(OSError):
        lines = (folder / table).read_text().splitlines()
        memory = next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)
        return {"memory": memory, "files": len(os.listdir(folder / "fd"))}
    return {"memory": 0, "files": 0}
