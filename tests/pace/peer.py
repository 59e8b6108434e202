"""What pyinfra does on each machine: the packages, files and units that pace.py has found there."""

import json
import pathlib

from pyinfra import host
from pyinfra.operations import apt, files, systemd

here = pathlib.Path(__file__).resolve().parent
work = json.loads((here / "work.json").read_text())[host.name]

apt.packages(name="packages", packages=work["packages"])
for file in work["files"]:
    files.put(
        name=file["path"],
        src=str(here / "files" / host.name) + file["path"],
        dest=file["path"],
        mode=file["mode"].lstrip("0"),
        user=file["owner"],
        group=file["group"],
        create_remote_dir=False,
    )
for unit in work["units"]:
    systemd.service(name=unit, service=unit, running=True, enabled=True)
