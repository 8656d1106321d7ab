"""An ordinary user of the host, who exists in the mount namespace of the session only."""

from __future__ import annotations

import os
import shutil

from . import kernel, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case
    from .process import Result

UID = GID = 23500
NAME = "ocirun-ada"
FIRST, COUNT = 2350000, 65536
OTHER_GROUP = 23501
_FILES = {
    "passwd": f"{NAME}:x:{UID}:{GID}::/nonexistent:/bin/sh\n",
    "group": f"{NAME}:x:{GID}:\n",
    "subuid": f"{NAME}:{FIRST}:{COUNT}\n",
    "subgid": f"{NAME}:{FIRST}:{COUNT}\n",
}


class User:
    """Commands and bundles of that user; the entries go with the case."""

    def __init__(self, live: Case) -> None:
        self.live = live
        self.runtime_dir = f"{live.dir}/xdg"
        os.mkdir(self.runtime_dir, 0o700)
        os.chown(self.runtime_dir, UID, GID)
        os.chown(live.root, UID, GID)
        for name, line in _FILES.items():
            self._cover(name, line)

    def _cover(self, name: str, line: str) -> None:
        target, copy = f"/etc/{name}", f"{self.live.dir}/{name}"
        present = ""
        if os.path.exists(target):
            with open(target, encoding="utf-8") as file:
                present = file.read()
        else:
            open(target, "x").close()
        with open(copy, "w", encoding="utf-8") as file:
            file.write(present + line)
        self.live.mount(copy, target, flags=kernel.MS_BIND)

    def entry(self, name: str, line: str) -> None:
        """Put another line in place of the user's own in /etc/NAME."""
        with open(f"/etc/{name}", "r+", encoding="utf-8") as file:
            text = file.read().replace(_FILES[name], line)
            file.seek(0)
            file.truncate()
            file.write(text)

    def close(self) -> None:
        """Delete containers, give the state root back."""
        try:
            for root in (self.live.root, f"{self.runtime_dir}/ocirun"):
                for name in os.listdir(root) if os.path.isdir(root) else ():
                    self.run(*self.argv("--root", root, "delete", "--force", name))
        finally:
            os.chown(self.live.root, 0, 0)

    def bundle(self, script: str) -> Bundle:
        """A bundle of the user with the script as program: own ids only, no cgroup."""
        bundle = self.live.shell(script)
        bundle.linux.pop("cgroupsPath")
        bundle.namespace("user")
        self.maps(bundle, [(0, UID, 1)])
        bundle.config["mounts"] = [
            {**one, "options": [word for word in one.get("options", []) if word != "gid=5"]} for one in bundle.mounts
        ]
        self.own(bundle)
        return bundle

    def own(self, bundle: Bundle) -> None:
        """Give the bundle to the user; programs, which are links to the session's, stay root's."""
        for where, _, files in os.walk(bundle.path):
            os.chown(where, UID, GID)
            for name in files:
                if os.lstat(f"{where}/{name}").st_nlink == 1:
                    os.lchown(f"{where}/{name}", UID, GID)

    def maps(self, bundle: Bundle, lines: list[tuple[int, int, int]]) -> None:
        """Both id maps."""
        entries = [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in lines]
        bundle.linux["uidMappings"] = entries
        bundle.linux["gidMappings"] = [dict(one) for one in entries]

    def argv(self, *args: str) -> list[str]:
        """The runtime without a state root of its own, and the rest."""
        return [self.live.session.runtime, *args]

    def run(self, *argv: str, env: dict[str, str] | None = None, **how: Any) -> Result:
        """Any program as the user."""
        wanted = {**process.BARE_ENVIRONMENT, "XDG_RUNTIME_DIR": self.runtime_dir, **(env or {})}
        return process.run(
            list(argv), scratch=self.live.scratch, env=wanted, before=_become, cwd=how.pop("cwd", "/"), **how
        )

    def command(self, *args: str, **how: Any) -> Result:
        """A command of the runtime with the case's state root."""
        return self.run(*self.live.argv(*args), **how)

    def make(self, verb: str, bundle: Bundle, *options: str, **how: Any) -> Result:
        """create or run, whatever comes of it."""
        bundle.save()
        return self.command(*how.pop("first", ()), verb, "--bundle", bundle.path, *options, bundle.id, **how)

    def output(self, bundle: Bundle, **how: Any) -> str:
        """Run in the foreground, expect success, give stdout."""
        return self.make("run", bundle, **how).ok().out

    def refused(self, bundle: Bundle, *words: str, **how: Any) -> None:
        """Expect create to fail with one line that has the words, and to leave nothing."""
        self.make("create", bundle, **how).failed(*words)
        assert os.listdir(self.live.root) == []

    def delegate(self, *names: str) -> dict[str, str]:
        """A group for the user in each v1 hierarchy of that name; gives the directories."""
        made = {}
        for name in names:
            path = self.live.group(f"/sys/fs/cgroup/{name}{self.live.session.parent}-user")
            if name == "cpuset":
                for file in ("cpuset.cpus", "cpuset.mems"):
                    shutil.copyfile(f"/sys/fs/cgroup/cpuset/{file}", f"{path}/{file}")
            os.chown(path, UID, GID)
            made[name] = path
        return made


def _become() -> None:
    os.setgroups([OTHER_GROUP])
    os.setresgid(GID, GID, GID)
    os.setresuid(UID, UID, UID)
