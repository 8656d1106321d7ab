"""Examples of command lines, for ``--help`` and the man pages."""

from __future__ import annotations

#: Command, "" for ocirun itself -> (title, lines...) of each example.
EXAMPLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "": (
        ("Write a config.json to start from, fill rootfs with files, and run it", "ocirun spec", "ocirun run mine"),
        ("See what that will do", "ocirun explain --bundle /srv/web"),
    ),
    "create": (
        (
            "Create a container, start its program, and remove it when that has ended",
            "ocirun create --bundle /srv/web web",
            "ocirun start web",
            "ocirun delete web",
        ),
    ),
    "exec": (
        ("A shell in a container", "ocirun exec --tty web sh"),
        ("A program as another user, in another directory", "ocirun exec --user 1000:1000 --cwd /srv web ls -l"),
    ),
    "check": (
        ("Refuse configs that are not quite right", "ocirun check --strict --bundle /srv/web"),
        ("Check what a program writes", "make-config | ocirun check --bundle /srv/web -"),
    ),
    "explain": (
        ("The operations that come from the third mount", "ocirun explain -b /srv/web | grep /mounts/2"),
        ("What a changed config does differently", "ocirun explain -b /srv/web --diff /srv/web/config.json.new"),
        ("What an `exec` would do", "ocirun explain --exec web --user 1000:1000 ls -l"),
    ),
    "kill": (
        ("Ask the program to end, then force it", "ocirun kill web", "ocirun kill web KILL"),
        ("Is the first process there?", "ocirun kill web 0"),
    ),
    "list": (("Remove all containers", "ocirun list --quiet | xargs -n 1 ocirun delete --force"),),
    "run": (("Run in the background", "ocirun run --detach --bundle /srv/web --pid-file web.pid web </dev/null"),),
    "update": (
        ("Half a processor and 256 MiB", "ocirun update --cpu-period 100000 --cpu-quota 50000 --memory 256m web"),
    ),
    "events": (("What the container uses now", "ocirun events --stats web"),),
    "completion": (
        (
            "Complete the words of ocirun in this shell, and in every new one",
            'eval "$(ocirun completion bash)"',
            "ocirun completion bash >/etc/bash_completion.d/ocirun",
        ),
    ),
}
