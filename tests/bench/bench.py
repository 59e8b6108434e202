#!/usr/bin/env python3
"""`deploy` beside Ansible and pyinfra on the same nodes, in turns, and beside bare OpenSSH. bench.py DEPLOY

Boots a lab of its own and takes it down at the end. Every measurement goes to target/bench/results.jsonl, the chart to
target/bench/chart.svg. Variables: BENCH_NODES (`3 8 16 50`), BENCH_ROUNDS (5), BENCH_TOOLS (all), BENCH_MANY (`200 1000`
simulated nodes, empty for none).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median

import chart
import simulated
import work
from measure import Failed, Group
from subjects import CASES, FLOORS, HERE, PEERS, TOOLS, VENV, Nodes

SIZES = [int(size) for size in os.environ.get("BENCH_NODES", "3 8 16 50").split()]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
CHOSEN = os.environ.get("BENCH_TOOLS", " ".join(TOOLS)).split()
MANY = [int(size) for size in os.environ.get("BENCH_MANY", "200 1000").split()]
OUT = Path("target/bench").resolve()
# Seconds that one case of one tool may be measured for; who takes longer gets fewer rounds, and one at least.
PATIENCE = 120
# No run takes longer.
DEADLINE = 5400


def quiet(*words, **options):
    """Runs what is not measured; its output is shown when it fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def install_peers() -> None:
    """Ansible and pyinfra, into a folder of their own."""
    if not (VENV / "bin/pip").exists():
        if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode != 0:
            quiet("apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-venv")
        venv.create(VENV, with_pip=True, clear=True)
    quiet(VENV / "bin/pip", "install", "--quiet", "-r", HERE / "requirements.txt")


class Bench:
    """The lab, and what has been measured on it."""

    def __init__(self, deploy: Path, folder: Path, count: int):
        self.deploy, self.folder, self.out = deploy, folder, OUT
        root = Path(os.environ.get("DEPLOY_LAB_ROOT", "/var/lib/deploy-lab"))
        self.config = root / "labs/bench/ssh_config"
        self.all = {f"n{number}": f"10.98.0.{10 + number}" for number in range(1, count + 1)}
        self.revision = 0
        self.results = (OUT / "results.jsonl").open("w")
        # Sockets have short paths.
        self.runtime = Path(tempfile.mkdtemp(prefix="db", dir="/tmp"))

    def first(self, size: int) -> Nodes:
        nodes = dict(list(self.all.items())[:size])
        return Nodes(self.deploy, self.folder, nodes, self.config)

    def up(self) -> None:
        """Boots the nodes and does the work for the first time, by `deploy`."""
        work.write(self.folder)
        everyone = self.first(len(self.all))
        everyone.want(self.revision)
        shutil.copy(everyone.inventory, self.folder / "cluster.yaml")
        quiet(self.deploy, "init", self.folder)
        quiet(self.deploy, "lab", "down", self.folder)
        quiet(self.deploy, "lab", "up", self.folder)
        # sshd tells of each session only so.
        said = "echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/bench.conf && systemctl reload ssh"
        for node in self.all:
            self.ssh(node, said)
        quiet(
            self.deploy, "apply", "--yes", "--skip-preflight", "--phase", work.PHASES, self.folder,
            env=os.environ | {"XDG_RUNTIME_DIR": str(self.fresh())},
        )  # fmt: skip

    def down(self) -> None:
        subprocess.run([self.deploy, "lab", "down", self.folder], check=False)
        shutil.rmtree(self.runtime, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ssh(self, node: str, script: str) -> str:
        return quiet("ssh", "-F", self.config, "-o", "ControlPath=none", node, "sh -s", input=script)

    def fresh(self) -> Path:
        """An empty folder for sockets."""
        return Path(tempfile.mkdtemp(dir=self.runtime))

    def state(self, node: str) -> dict[str, str]:
        lines = self.ssh(node, (HERE / "state.sh").read_text()).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def settle(self, nodes: Nodes) -> None:
        """Brings the nodes to the present revision, and lets `deploy` know what a peer has done."""
        command, environment = nodes.command("deploy", "five", self.revision, self.fresh())
        with Group() as group:
            group.run(command, OUT / "settle.log", DEADLINE, environment)

    def measure(self, nodes: Nodes, tool: str, case: str, live: bool) -> dict:
        """One run, over fresh connections or over those of a run just before; what it did is looked at on one node."""
        witness = list(nodes.nodes)[-1]
        revision = self.revision if case == "no-op" else self.revision + 1
        runtime, log = self.fresh(), OUT / f"{len(nodes.nodes)}-{tool}-{case}.log"
        with Group() as group:
            if live:
                command, environment = nodes.command(tool, "no-op", self.revision, runtime)
                group.run(command, log, DEADLINE, environment)
            command, environment = nodes.command(tool, case, revision, runtime)
            before = self.state(witness)
            result = group.run(command, log, DEADLINE, environment)
            after = self.state(witness)
        result["sessions"] = int(after.pop("sessions")) - int(before.pop("sessions")) - 1
        self.hold(case, revision, before, after, log)
        if case == "five":
            self.revision = revision
            if tool in PEERS:
                self.settle(nodes)
        return result

    def hold(self, case: str, revision: int, before: dict, after: dict, log: Path) -> None:
        """A run that did not do what it was measured for is no measurement."""
        if case != "five":
            if before != after:
                raise Failed(f"a run without changes changed {before} to {after}; see {log}")
            return
        restarted = [name for name in work.UNITS if before[name] != after[name]]
        if restarted != work.UNITS[:2] or after["revisions"].split() != ["5", str(revision)]:
            raise Failed(f"revision {revision} was to come: {before} became {after}; see {log}")

    def size(self, size: int) -> list[dict]:
        """All rounds with so many nodes."""
        nodes = self.first(size)
        nodes.write_peers()
        self.settle(nodes)
        quiet(self.deploy, "render", nodes.inventory, "--out", nodes.probes, "--probes")
        subjects = [(tool, case, live) for tool in CHOSEN for case in CASES for live in (False, True)]
        subjects = [
            (tool, case, live)
            for tool, case, live in subjects
            if not (tool in FLOORS and case != "no-op") and not (tool in PEERS and live)
        ]
        found = []
        for number in range(ROUNDS):
            # Nobody is always the one after the same other.
            turn = number % len(subjects)
            for tool, case, live in subjects[turn:] + subjects[:turn]:
                earlier = [one for one in found if one["key"] == [tool, case, live]]
                if earlier and sum(one["wall"] for one in earlier) * (1 + 1 / len(earlier)) > PATIENCE:
                    continue
                result = self.measure(nodes, tool, case, live)
                self.keep(found, {"nodes": size, "simulated": False, "key": [tool, case, live], **result})
        return found

    def keep(self, found: list[dict], result: dict) -> None:
        found.append(result)
        self.results.write(json.dumps(result) + "\n")
        self.results.flush()
        tool, case, live = result["key"]
        over = "live masters" if live else "fresh"
        print(f"  {result['nodes']} {tool} {case} {over}: {result['wall']:.2f} s", file=sys.stderr, flush=True)


def spread(numbers: list[float], form: str = "{:.2f}") -> str:
    """Median with least and most."""
    text = form.format(median(numbers))
    return text if len(numbers) == 1 else f"{text} ({form.format(min(numbers))}–{form.format(max(numbers))})"


def table(found: list[dict]) -> None:
    """Prints what was found with one number of nodes."""
    walls = {}
    for one in sorted(found, key=lambda one: (list(TOOLS).index(one["key"][0]), one["key"][2])):
        walls.setdefault(tuple(one["key"]), []).append(one["wall"])
    head = ["", "connections", "rounds", "wall s", "× probe", "CPU s", "MB", "own MB", "files", "own files", "sessions"]
    for case, title in CASES.items():
        rows = [head]
        for tool, _, live in [key for key in walls if key[1] == case]:
            ones = [one for one in found if one["key"] == [tool, case, live]]
            floor = walls.get(("probe", "no-op", live))
            rows.append([
                TOOLS[tool],
                "live" if live else "fresh",
                str(len(ones)),
                spread([one["wall"] for one in ones]),
                "{:.2f}".format(median([one["wall"] for one in ones]) / median(floor)) if floor else "",
                spread([one["cpu"] for one in ones]),
                spread([one["memory"] / 1024 for one in ones], "{:.0f}"),
                spread([one["own_memory"] / 1024 for one in ones], "{:.0f}"),
                str(max(one["files"] for one in ones)),
                str(max(one["own_files"] for one in ones)),
                "{:.0f}".format(median([one["sessions"] for one in ones])) if "sessions" in ones[0] else "",
            ])  # fmt: skip
        if len(rows) == 1:
            continue
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        kind = "simulated nodes" if found[0]["simulated"] else "nodes"
        print(f"\n{found[0]['nodes']} {kind}, {title}")
        for row in rows:
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main() -> None:
    # So that the lab is taken down then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("bench.py DEPLOY: the program to be measured; `make bench` builds it")
    deploy = Path(sys.argv[1]).resolve()
    OUT.mkdir(parents=True, exist_ok=True)
    if set(CHOSEN) & set(PEERS):
        install_peers()
    bench = Bench(deploy, Path(tempfile.mkdtemp(prefix="deploy-bench")), max(SIZES))
    everything = []
    try:
        bench.up()
        for size in SIZES:
            found = bench.size(size)
            table(found)
            everything += found
        for size in MANY:
            found = []
            for result in simulated.measure(bench, size):
                bench.keep(found, result)
            table(found)
            everything += found
    except Failed as failure:
        sys.exit(str(failure))
    finally:
        bench.down()
    (OUT / "chart.svg").write_text(chart.draw(everything))
    print(f"\nevery measurement: {OUT / 'results.jsonl'}; the chart: {OUT / 'chart.svg'}")


if __name__ == "__main__":
    main()
