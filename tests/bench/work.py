"""The work that every tool does on every node, as data: 20 files, 6 packages, 4 units, 6 kernel parameters.

All tools render the same templates to the same bytes, so that one finds done what another did, and they can be measured
in turns on the same nodes. `deploy` has no resource for users and none for single lines of a file: nobody makes those.
"""

import json
from pathlib import Path

# python3-apt is what Ansible needs on a node; the others are small.
PACKAGES = ["bc", "less", "lsof", "python3-apt", "rsync", "tree"]
UNITS = ["bench-a", "bench-b", "bench-c", "bench-d"]
SYSCTL = {
    "net.core.somaxconn": 8192,
    "net.ipv4.tcp_fin_timeout": 30,
    "net.ipv4.tcp_keepalive_intvl": 30,
    "net.ipv4.tcp_keepalive_probes": 5,
    "net.ipv4.tcp_keepalive_time": 300,
    "net.ipv4.tcp_max_syn_backlog": 8192,
}
# Phases of `deploy` that have something of this work.
PHASES = "packages,base,services"
# The first five change with the revision; the first two are read by the units bench-a and bench-b.
SETTINGS = [f"/etc/bench-{number:02}.conf" for number in range(1, 16)]
CHANGING = 5
SYSCTL_FILE = "/etc/sysctl.d/60-deploy.conf"

HEADER = "# managed by deploy (role bench); changes made here are overwritten\n"
UNIT = """[Unit]
Description={name} of {{{{ node.name }}}}

[Service]
EnvironmentFile=-{settings}
ExecStart=/usr/bin/sleep infinity

[Install]
WantedBy=multi-user.target
"""

# An inventory must place etcd and PostgreSQL. Here these roles, and what every node gets beside its own, are empty.
EMPTY = {"base": "base", "etcd": "etcd", "patroni": "patroni"}
UNPLACED = ["haproxy", "pgbouncer", "redis", "sentinel"]


def settings_template(number: int) -> str:
    """A file of settings as services have them: some forty lines, a few of them of the node's own."""
    lines = [HEADER, "NODE={{ node.name }}\n", "ADDRESS={{ node.address }}\n"]
    if number <= CHANGING:
        lines.append("REVISION={{ settings.revision }}\n")
    lines += [f"SETTING_{number:02}_{line:02}=value-{number * line}\n" for line in range(1, 38)]
    return "".join(lines)


def templates() -> dict[str, tuple[str, str]]:
    """Of each file but the kernel parameters' by path: the name of its template and its text."""
    files = {}
    for number, path in enumerate(SETTINGS, 1):
        files[path] = (f"bench-{number:02}.conf.j2", settings_template(number))
    for name, settings in zip(UNITS, SETTINGS):
        files[f"/etc/systemd/system/{name}.service"] = (
            f"{name}.service.j2",
            HEADER + UNIT.format(name=name, settings=settings),
        )
    return files


def sysctl_text() -> str:
    """The file that `deploy` writes for the next boot."""
    header = "# managed by deploy (role base); changes made here are overwritten\n"
    return header + "".join(f"{key} = {value}\n" for key, value in sorted(SYSCTL.items()))


def manifest() -> str:
    """The role `bench`. JSON is YAML."""
    files = []
    for path, (template, _) in templates().items():
        file = {"path": path, "template": f"bench/{template}"}
        reader = [name for name, settings in zip(UNITS, SETTINGS[:2]) if path == settings]
        if path.endswith(".service"):
            reader = [Path(path).stem]
        if reader:
            file |= {"unit": reader[0], "takes": "restart"}
        files.append(file)
    role = {
        "role": "bench",
        "title": "the work of the benchmark",
        "phase": "services",
        "packages": [{"name": name} for name in PACKAGES],
        "files": files,
        "units": [{"name": name} for name in UNITS],
        # All nodes at once, as the peers do.
        "rolling": {"at_a_time": 0},
        "settings": {"revision": 0, "sysctl": SYSCTL},
    }
    return json.dumps(role, indent=2)


def write(folder: Path) -> None:
    """What lies beside every inventory of `deploy`, and what the peers read."""
    for part in ["roles", "templates/bench"]:
        (folder / part).mkdir(parents=True)
    for role, phase in EMPTY.items():
        empty = {"role": role, "title": "nothing", "phase": phase, "kinds": ["all"] if role == "base" else []}
        (folder / "roles" / f"{role}.yaml").write_text(json.dumps(empty))
    (folder / "roles/bench.yaml").write_text(manifest())
    for template, text in templates().values():
        (folder / "templates/bench" / template).write_text(text)
    (folder / "templates/bench/sysctl.conf.j2").write_text(sysctl_text())
    files = {path: str(folder / "templates/bench" / template) for path, (template, _) in templates().items()}
    read = dict(zip(UNITS, SETTINGS[:2]))
    work = {
        "packages": PACKAGES,
        "units": UNITS,
        "kernel": SYSCTL,
        "unit_files": {path: file for path, file in files.items() if path.endswith(".service")},
        "restarting": {unit: {"path": path, "template": files[path]} for unit, path in read.items()},
        "other_files": {path: file for path, file in files.items() if path in SETTINGS[2:]}
        | {SYSCTL_FILE: str(folder / "templates/bench/sysctl.conf.j2")},
    }
    (folder / "work.json").write_text(json.dumps(work, indent=2))


def inventory(nodes: dict[str, str], config: Path, revision: int, port: int = 22) -> str:
    """An inventory of `deploy` for nodes and their addresses, reached as the SSH configuration says."""
    names = list(nodes)
    wanted = {
        "name": "bench",
        "nodes": {name: {"kind": "app", "address": address} for name, address in nodes.items()},
        "ssh": {"config": str(config), "port": port},
        "firewall": {"enabled": False},
        "roles": {role: {"on": []} for role in UNPLACED}
        | {
            "etcd": {"on": names[:3]},
            "patroni": {"on": names[:2]},
            "bench": {"on": names, "settings": {"revision": revision}},
        },
    }
    return json.dumps(wanted, indent=1)
