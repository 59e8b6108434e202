"""The work of work.py by pyinfra."""

import json
from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

work = json.loads((Path(host.data.folder) / "work.json").read_text())
node = {"name": host.name, "address": host.data.ssh_hostname}
settings = {"revision": host.data.revision}


def template(path: str, source: str):
    return files.template(
        name=path, src=source, dest=path, user="root", group="root", mode="644", node=node, settings=settings
    )


apt.packages(name="Packages", packages=work["packages"], no_recommends=True)
for key, value in work["kernel"].items():
    server.sysctl(name=key, key=key, value=value)
for path, source in work["unit_files"].items():
    template(path, source)
read = {unit: template(file["path"], file["template"]) for unit, file in work["restarting"].items()}
for path, source in work["other_files"].items():
    template(path, source)
for unit in work["units"]:
    systemd.service(name=unit, service=f"{unit}.service", running=True, enabled=True)
for unit, file in read.items():
    systemd.service(name=f"Restart {unit}", service=f"{unit}.service", restarted=True, _if=file.did_change)
