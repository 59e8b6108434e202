#!/usr/bin/env python3
"""deploy, pyinfra and Ansible at the same work, side by side in interleaved rounds on the same lab machines.

    pace.py DEPLOY [--nodes N] [--rounds N] [--out FILE]

What the peers are given is read from machines that deploy has made: the same files with owner and mode, the same packages,
the same units. They are not given what deploy does beyond that: certificates, membership of etcd, Patroni's dynamic
configuration, roles and databases, users of Redis, the packet filter. Whoever runs first in a round changes with it.

Ansible runs twice: as it comes, and tuned (50 forks, pipelining, connections that are kept, no facts). The floor is bare
`ssh NODE true`, to all nodes at once. Of each: wall time, processor time of the controller, memory of its largest process.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE.parent.parent / "target" / "pace"
FILES = 5
PYTHON = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install python3 python3-apt"


def inventory(nodes):
    """An inventory of that many machines: text, and the names."""
    kinds = ["manager"] * 3 + ["worker"] * 3 + ["app"] * (nodes - 6)
    if nodes < 8:
        kinds = ["[manager, worker, app]"] * nodes
    count, names, lines = {}, [], []
    for number, kind in enumerate(kinds):
        count[kind] = count.get(kind, 0) + 1
        names.append(f"{kind.strip('[')[0]}{count[kind]}")
        lines.append(f"  {names[-1]}: {{ kind: {kind}, address: 10.98.0.{number + 11} }}")
    redis = [name for name in names if name.startswith("a")][:2] or names[:2]
    return names, "\n".join(
        ["name: pace", "nodes:", *lines]
        + [
            "ssh: { config: /var/lib/deploy-lab/labs/pace/ssh_config }",
            "access: { admin: [10.98.0.0/24], clients: [10.98.0.0/24] }",
            "patroni: { failover: fast }",
            "postgresql: { memory: 512MB, cores: 2 }",
            "haproxy: { max_connections: 2000 }",
            "pgbouncer: { max_client_conn: 1000 }",
            f"roles: {{ redis: {{ on: [{', '.join(redis)}] }} }}",
            "",
        ]
    )


def own_role(folder):
    """Five small files on every machine, for the run that changes five files."""
    (folder / "roles").mkdir()
    (folder / "templates" / "pace").mkdir(parents=True)
    entries = [f"  - {{ path: /etc/pace/{n}, template: pace/{n}.j2 }}" for n in range(FILES)]
    text = ["role: pace", "title: five files", "kinds: [manager, worker, app]", "phase: services", "directories:"]
    (folder / "roles" / "pace.yaml").write_text(
        "\n".join(text + ["  - { path: /etc/pace }", "files:", *entries, ""])
    )


class Lab:
    """The machines, and the work that is done on them."""

    def __init__(self, deploy, nodes):
        self.deploy, self.folder = deploy, WORK / "cluster"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.names, text = inventory(nodes)
        (self.folder / "cluster.yaml").write_text(text)
        own_role(self.folder)
        self.changes = 0
        self.change()
        self.config = "/var/lib/deploy-lab/labs/pace/ssh_config"

    def run(self, *words):
        return subprocess.run([self.deploy, *words], check=True, capture_output=True, text=True).stdout

    def ssh(self, node, line):
        return ["ssh", "-F", self.config, node, line]

    def everywhere(self, line):
        running = [subprocess.Popen(self.ssh(node, line), stdout=subprocess.DEVNULL) for node in self.names]
        if any(process.wait() for process in running):
            sys.exit(f"failed on a node: {line}")

    def up(self):
        self.run("lab", "down", self.folder)
        self.run("init", self.folder)
        self.run("lab", "up", self.folder)
        self.plan = json.loads(self.run("plan", "--json", self.folder))
        self.run("apply", "--yes", self.folder)
        self.everywhere(PYTHON)
        self.collect()

    def collect(self):
        """What deploy has made, for the peers: files of each node, packages, units."""
        self.work = {}
        for node in self.names:
            own = [change for change in self.plan["changes"] if change["node"] == node]
            missing = [change["reason"] for change in own if change["kind"] == "packages"]
            packages = ", ".join(reason.split("not installed: ")[1] for reason in missing).split(", ")
            listing = subprocess.run(
                self.ssh(
                    node,
                    "cd /var/lib/deploy/written && find . -type f | sed 's/^.//' | sort | "
                    "xargs stat -c '%a %U %G %n'",
                ),
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            files = [line.split(" ", 3) for line in listing.splitlines()]
            target = WORK / "files" / node
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            archive = subprocess.run(
                self.ssh(node, "tar -cf - -P " + " ".join(path for *_, path in files)),
                check=True,
                capture_output=True,
            ).stdout
            subprocess.run(["tar", "-xf", "-", "-C", target, "--no-same-owner"], input=archive, check=True)
            self.work[node] = {
                "packages": sorted({name for name in packages if name}),
                "units": sorted({change["name"] for change in own if change["kind"] == "unit"}),
                "files": [
                    {"path": path, "mode": f"0{mode}", "owner": owner, "group": group}
                    for mode, owner, group, path in files
                ],
            }
        (WORK / "work.json").write_text(json.dumps(self.work))

    def change(self):
        """Five files with another text, for whoever comes next."""
        self.changes += 1
        for number in range(FILES):
            text = f"# {self.changes}\n" + f"setting {number}\n" * 40
            template = self.folder / "templates" / "pace" / f"{number}.j2"
            template.write_text("# managed by deploy (role pace)\n" + text)
            for node in (WORK / "files").glob("*") if self.changes > 1 else []:
                (node / "etc" / "pace" / str(number)).write_text("# managed by deploy (role pace)\n" + text)


def peers(lab):
    """Writes what Ansible and pyinfra read; their commands by name."""
    tools = WORK / "peers"
    if not (tools / "bin" / "pyinfra").exists():
        venv.create(tools, with_pip=True)
        subprocess.run([tools / "bin" / "pip", "install", "-q", "ansible-core", "pyinfra"], check=True)
    paths = sorted({file["path"] for work in lab.work.values() for file in work["files"]})
    tasks = [
        {"name": "packages", "ansible.builtin.apt": {"name": "{{ work[inventory_hostname].packages }}", "state": "present"}}
    ]
    for path in paths:
        with_it = {
            node: next((file for file in work["files"] if file["path"] == path), None)
            for node, work in lab.work.items()
        }
        one = next(file for file in with_it.values() if file)
        tasks.append(
            {
                "name": path,
                "ansible.builtin.copy": {
                    "src": f"{WORK}/files/{{{{ inventory_hostname }}}}{path}",
                    "dest": path,
                    "mode": one["mode"],
                    "owner": one["owner"],
                    "group": one["group"],
                },
                "when": f"inventory_hostname in {[node for node, file in with_it.items() if file]}",
            }
        )
    for unit in sorted({unit for work in lab.work.values() for unit in work["units"]}):
        tasks.append(
            {
                "name": unit,
                "ansible.builtin.systemd_service": {"name": unit, "enabled": True, "state": "started"},
                "when": f"'{unit}' in work[inventory_hostname].units",
            }
        )
    for name, facts in [("default", True), ("tuned", False)]:
        # JSON is YAML.
        play = [{"hosts": "all", "gather_facts": facts, "vars_files": [f"{WORK}/work.json.yml"], "tasks": tasks}]
        (WORK / f"{name}.yml").write_text(json.dumps(play))
    (WORK / "work.json.yml").write_text(json.dumps({"work": lab.work}))
    ssh = f"-F {lab.config}"
    (WORK / "hosts.ini").write_text("".join(f"{node} ansible_python_interpreter=/usr/bin/python3\n" for node in lab.names))
    (WORK / "default.cfg").write_text(f"[defaults]\ninventory={WORK}/hosts.ini\n[ssh_connection]\nssh_common_args={ssh}\n")
    (WORK / "tuned.cfg").write_text(
        f"[defaults]\ninventory={WORK}/hosts.ini\nforks=50\ngathering=explicit\n[ssh_connection]\npipelining=True\n"
        f"ssh_common_args={ssh}\nssh_args=-o ControlMaster=auto -o ControlPersist=600s\n"
    )
    shutil.copy(HERE / "peer.py", WORK / "peer.py")
    hosts = [(node, {"ssh_config_file": lab.config, "ssh_known_hosts_file": ""}) for node in lab.names]
    (WORK / "hosts.py").write_text(f"all = {hosts!r}\n")
    bare = " & ".join(f"ssh -F {lab.config} -o ControlPath=none {node} true" for node in lab.names) + " & wait"
    pyinfra = [tools / "bin" / "pyinfra", "-y", WORK / "hosts.py", WORK / "peer.py"]

    def ansible(name, *more):
        command = [tools / "bin" / "ansible-playbook", WORK / f"{name}.yml", *more]
        return command, {"ANSIBLE_CONFIG": str(WORK / f"{name}.cfg")}

    return {
        "bare ssh": {"nothing to do": (["bash", "-c", bare], {})},
        "deploy": {
            "nothing to do": ([lab.deploy, "apply", "--yes", lab.folder], {}),
            "dry run": ([lab.deploy, "plan", lab.folder], {}),
            "five files": ([lab.deploy, "apply", "--yes", lab.folder], {}),
        },
        "pyinfra": {
            "nothing to do": (pyinfra, {}),
            "dry run": ([*pyinfra, "--dry", "--diff"], {}),
            "five files": (pyinfra, {}),
        },
        "Ansible, tuned": {
            "nothing to do": ansible("tuned"),
            "dry run": ansible("tuned", "--check", "--diff"),
            "five files": ansible("tuned"),
        },
        "Ansible": {
            "nothing to do": ansible("default"),
            "dry run": ansible("default", "--check", "--diff"),
            "five files": ansible("default"),
        },
    }


def measured(command, environment):
    """Wall and processor seconds of a command, and the megabytes of its largest process."""
    begun = time.monotonic()
    log = open(WORK / "last.log", "wb")
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        print((WORK / "last.log").read_text()[-3000:], file=sys.stderr)
        sys.exit(f"failed: {command}")
    return time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("deploy")
    wanted.add_argument("--nodes", type=int, default=8)
    wanted.add_argument("--rounds", type=int, default=3)
    wanted.add_argument("--out", type=pathlib.Path, default=WORK / "pace.tsv")
    args = wanted.parse_args()
    lab = Lab(str(pathlib.Path(args.deploy).resolve()), args.nodes)
    try:
        lab.up()
        tools = peers(lab)
        seen = {}
        # Each comes once before anything is counted: what a tool does on its first visit is not the question.
        for name, works in tools.items():
            measured(*works["nothing to do"])
        for _ in range(args.rounds):
            for what in ["nothing to do", "dry run", "five files"]:
                for name, works in tools.items():
                    if what not in works:
                        continue
                    if what == "five files":
                        lab.change()
                    seen.setdefault((what, name), []).append(measured(*works[what]))
                    print(f"{what:14} {name:16} {seen[what, name][-1][0]:8.2f} s", file=sys.stderr, flush=True)
        report(args, lab, seen)
    finally:
        lab.run("lab", "down", lab.folder)


def report(args, lab, seen):
    tasks = [len(work["files"]) + len(work["units"]) + 1 for work in lab.work.values()]
    print(f"{args.nodes} machines, {min(tasks)} to {max(tasks)} tasks each, median of {args.rounds} rounds (least, most)")
    rows = ["nodes\twhat\twho\twall\tleast\tmost\tcpu\tmegabytes"]
    for (what, name), runs in seen.items():
        walls = [run[0] for run in runs]
        wall, cpu, memory = (statistics.median(column) for column in zip(*runs))
        ratio = wall / statistics.median(run[0] for run in seen.get((what, "deploy"), runs))
        print(
            f"{what:14} {name:16} {wall:8.2f} s ({min(walls):.2f}, {max(walls):.2f})"
            f"{cpu:8.2f} s of processor {memory:6.0f} MB {ratio:8.1f} x deploy"
        )
        rows.append(f"{args.nodes}\t{what}\t{name}\t{wall:.3f}\t{min(walls):.3f}\t{max(walls):.3f}\t{cpu:.3f}\t{memory:.0f}")
    args.out.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
