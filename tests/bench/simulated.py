"""Hundreds of nodes for the controller alone: as many addresses, one sshd that answers for all of them.

The sshd runs on one machine of the lab and answers each probe with what a real node said, with the hashes of the files
that the asked node would have. So a run finds nothing to do, and what grows is the controller's part. Its floor grows with
it: one sshd has to make all of the connections, on the same processors.
"""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from measure import Group
from subjects import Nodes

PORT = 2222
# Seconds.
DEADLINE = 900

SSHD = """Port 2222
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile none
UsePAM no
PasswordAuthentication no
# A real node has one controller: here all of the connections come to one sshd, and wait for its processors.
MaxStartups 2000:100:2000
LoginGraceTime 0
LogLevel ERROR
ForceCommand exec /bin/sh /run/bench/reply
"""
# The third word of SSH_CONNECTION is the address that was asked.
REPLY = """cat >/dev/null
set -- $SSH_CONNECTION
exec cat "/run/bench/$3"
"""


def address(number: int) -> str:
    return f"10.99.{number // 250}.{number % 250 + 1}"


def digests(rendered: Path) -> dict[str, str]:
    """The hash of every rendered file of a node by path."""
    files = (file for file in rendered.rglob("*") if file.is_file() and file.name != "probe.sh")
    return {str(file.relative_to(rendered)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def replies(reply: str, rendered: Path, real: dict[str, str], nodes: dict[str, str]) -> bytes:
    """A tar file with what each of `nodes` says, made from what one real node said, whose files have the hashes `real`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in {"reply": REPLY, "sshd_config": SSHD}.items():
            add(archive, name, text)
        for name, place in nodes.items():
            text = reply
            for path, digest in digests(rendered / name).items():
                text = text.replace(real[path], digest)
            add(archive, place, text)
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))


def measure(bench, count: int):
    """Yields a result for each run with `count` simulated nodes: fresh connections, and those of the run before."""
    host, place = list(bench.all.items())[0]
    witness = bench.first(max(len(bench.all), 3))
    name = list(witness.nodes)[-1]
    witness.want(bench.revision)
    bench.settle(witness)
    real = bench.folder / "real"
    subprocess.run([bench.deploy, "render", witness.inventory, "--out", real, "--probes"], check=True, capture_output=True)
    reply = bench.ssh(name, (real / name / "probe.sh").read_text())

    # The names are other ones than in the lab; what a node is called stands in its files, and is in their hashes.
    names = {f"s{number + 1}": address(number) for number in range(count)}
    folder = bench.folder
    config = folder / "simulated_ssh_config"
    key = (bench.config.parent / "known_hosts").read_text().split()
    (folder / "simulated_known_hosts").write_text(f"[10.99.*]:{PORT} {key[1]} {key[2]}\n")
    hosts = "".join(f"Host {node}\n  HostName {address}\n" for node, address in names.items())
    config.write_text(
        f"{hosts}Host *\n  User root\n  Port {PORT}\n  IdentityFile {bench.config.parent / 'id_ed25519'}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder / 'simulated_known_hosts'}\n"
        "  StrictHostKeyChecking yes\n"
    )
    nodes = Nodes(bench.deploy, folder, names, config, PORT)
    nodes.want(bench.revision)
    subprocess.run(
        [bench.deploy, "render", nodes.inventory, "--out", nodes.probes, "--probes"], check=True, capture_output=True
    )
    archive = replies(reply, nodes.probes, digests(real / name), names)
    subprocess.run(
        ["ssh", "-F", bench.config, host, "mkdir -p /run/bench && tar -x -C /run/bench"], input=archive, check=True
    )
    bench.ssh(
        host,
        "ip route replace local 10.99.0.0/16 dev lo\n"
        "systemctl is-active -q bench-sshd || systemd-run -q --unit=bench-sshd -p TasksMax=infinity "
        "-p LimitNOFILE=65536 /usr/sbin/sshd -D -f /run/bench/sshd_config",
    )
    status = subprocess.run(
        [bench.deploy, "lab", "status", "--json", folder], check=True, capture_output=True, text=True
    )
    # It goes with the bridge.
    bridge = json.loads(status.stdout)["bridge"]
    subprocess.run(["ip", "route", "replace", "10.99.0.0/16", "via", place, "dev", bridge], check=True)

    for tool in ["ssh", "probe", "deploy"]:
        with Group() as group:
            runtime = bench.fresh()
            for live in (False, True):
                command, environment = nodes.command(tool, "no-op", bench.revision, runtime)
                result = group.run(command, bench.out / f"{count}-{tool}-no-op.log", DEADLINE, environment)
                yield {"nodes": count, "simulated": True, "key": [tool, "no-op", live], **result}
