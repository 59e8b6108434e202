"""What is measured: for each tool and case, the command and its environment."""

from pathlib import Path

import work

HERE = Path(__file__).parent
VENV = Path("target/bench/venv").resolve()
# A dry run has the same five files to show that the third case then changes.
CASES = {
    "no-op": "run without changes",
    "dry": "dry run, diffs of five files",
    "five": "five files and two restarts",
}
TOOLS = {
    "ssh": "ssh true",
    "probe": "deploy's probe by ssh",
    "deploy": "deploy",
    "pyinfra": "pyinfra",
    "tuned": "Ansible, tuned",
    "default": "Ansible, default",
}
FLOORS = ["ssh", "probe"]
PEERS = ["pyinfra", "tuned", "default"]


class Nodes:
    """Machines that are measured together, and the files by which each tool knows them."""

    def __init__(self, deploy: Path, folder: Path, nodes: dict[str, str], config: Path, port: int = 22):
        self.deploy, self.folder, self.nodes, self.config, self.port = deploy, folder, nodes, config, port
        self.inventory = folder / "now.yaml"
        self.probes = folder / f"probes-{len(nodes)}"

    def want(self, revision: int) -> None:
        """Writes the inventory of `deploy`."""
        self.inventory.write_text(work.inventory(self.nodes, self.config, revision, self.port))

    def write_peers(self) -> None:
        """Writes the inventories of the peers."""
        lines = [f"{name} ansible_host={address}" for name, address in self.nodes.items()]
        lines += ["[all:vars]", "ansible_user=root", f"ansible_ssh_common_args='-F {self.config}'"]
        (self.folder / "ansible.ini").write_text("\n".join(lines) + "\n")
        reached = {
            "ssh_user": "root",
            "ssh_key": str(self.config.parent / "id_ed25519"),
            "ssh_known_hosts_file": str(self.config.parent / "known_hosts"),
            "ssh_strict_host_key_checking": "yes",
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
            "folder": str(self.folder),
        }
        hosts = [(name, {"ssh_hostname": address} | reached) for name, address in self.nodes.items()]
        (self.folder / "hosts.py").write_text(f"hosts = {hosts!r}\n")

    def command(self, tool: str, case: str, revision: int, runtime: Path):
        """Words and environment. `runtime` is an empty folder for sockets, or that of the run before."""
        return getattr(self, f"_{tool}")(case, revision, runtime)

    def _floor(self, runtime: Path, probes):
        return [HERE / "floor.sh", self.config, runtime / "%C", probes, *self.nodes], {}

    def _ssh(self, _case, _revision, runtime):
        return self._floor(runtime, "none")

    def _probe(self, _case, _revision, runtime):
        return self._floor(runtime, self.probes)

    def _deploy(self, case, revision, runtime):
        self.want(revision)
        verb = ["plan"] if case == "dry" else ["apply", "--yes"]
        return [self.deploy, *verb, "--phase", work.PHASES, self.inventory], {"XDG_RUNTIME_DIR": str(runtime)}

    def _pyinfra(self, case, revision, _runtime):
        # With -y it runs operations without looking for changes first, and a dry run would not look at all.
        how = ["--dry", "--diff"] if case == "dry" else ["-y"]
        words = [VENV / "bin/pyinfra", *how, "--data", f"revision={revision}"]
        return [*words, self.folder / "hosts.py", HERE / "peers/pyinfra_deploy.py"], {}

    def _ansible(self, case, revision, runtime, configuration, environment):
        dry = ["--check", "--diff"] if case == "dry" else []
        words = [VENV / "bin/ansible-playbook", *dry, "-i", self.folder / "ansible.ini"]
        words += ["-e", f"revision={revision}", "-e", f"folder={self.folder}", HERE / "peers/playbook.yaml"]
        return words, environment | {
            "ANSIBLE_CONFIG": str(HERE / "peers" / configuration),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(runtime),
        }

    def _tuned(self, case, revision, runtime):
        forks = {"ANSIBLE_FORKS": str(len(self.nodes))}
        return self._ansible(case, revision, runtime, "tuned.cfg", forks)

    def _default(self, case, revision, runtime):
        return self._ansible(case, revision, runtime, "default.cfg", {})
