"""Values that are an error: each changes one thing of a config that is otherwise accepted."""

from __future__ import annotations

from .. import host
from ..registry import covers, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..bench import Bench

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@covers("config.ociVersion.semver")
def version(bench: Bench) -> None:
    """Not SemVer, and valid forms of it with pre-release and build parts."""
    for wrong in ("1", "1.0", "1.0.0.0", "v1.0.0", "1.02.0", "latest", ""):
        bundle = bench.bundle()
        bundle.config["ociVersion"] = wrong
        bench.fails(bundle)
    for right in ("1.0.0-rc5-dev", "1.0.2+build.7"):
        bundle = bench.bundle()
        bundle.config["ociVersion"] = right
        bench.run(bundle).ok()


@covers("config.root.path.exists")
def root_path(bench: Bench) -> None:
    """Nothing at the path, and a file."""
    bundle = bench.bundle()
    bundle.config["root"]["path"] = "elsewhere"
    bench.fails(bundle)
    with open(f"{bundle.path}/elsewhere", "w", encoding="ascii"):
        pass
    bench.fails(bundle)


@covers("config.process.cwd.absolute")
def relative_cwd(bench: Bench) -> None:
    """A directory that is there, by a relative path."""
    bundle = bench.bundle()
    bundle.process["cwd"] = "tmp"
    bench.fails(bundle)


@covers("config.process.rlimits.type.unknown")
def unknown_limit(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.process["rlimits"] = [{"type": "RLIMIT_BANANAS", "soft": 10, "hard": 10}]
    bench.fails(bundle)


@covers("config.process.rlimits.duplicate")
def limit_twice(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2
    bench.fails(bundle)


def _hook(kind: str) -> None:
    @covers(f"config.hooks.{kind}.path.absolute")
    def absolute(bench: Bench) -> None:
        bundle = bench.bundle()
        bundle.config["hooks"] = {kind: [{"path": "true"}]}
        bench.fails(bundle, env={"PATH": "/bin"}, cwd="/bin")

    @covers(f"config.hooks.{kind}.timeout")
    def timeout(bench: Bench) -> None:
        for wrong in (0, -1):
            bundle = bench.bundle()
            bundle.config["hooks"] = {kind: [{"path": "/bin/true", "timeout": wrong}]}
            bench.fails(bundle)
        bundle = bench.bundle()
        bundle.config["hooks"] = {kind: [{"path": "/bin/true", "timeout": 9}]}
        bench.run(bundle).ok()


for _kind in HOOKS:
    _hook(_kind)


@covers("config.annotations.map")
def annotations_map(bench: Bench) -> None:
    for wrong in (["a"], "a", 1):
        bundle = bench.bundle()
        bundle.config["annotations"] = wrong
        bench.fails(bundle)


@covers("config.annotations.key.empty")
def annotations_key(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.config["annotations"] = {"": "a"}
    bench.fails(bundle)


@covers("config.annotations.value.string")
def annotations_value(bench: Bench) -> None:
    """Other types are refused; an empty text is a text."""
    values: tuple[object, ...] = (1, True, ["a"], {})
    for wrong in values:
        bundle = bench.bundle()
        bundle.config["annotations"] = {"com.example.a": wrong}
        bench.fails(bundle)
    bundle = bench.bundle()
    bundle.config["annotations"] = {"com.example.a": ""}
    bench.run(bundle).ok()


@covers("config.annotations.unknown")
def annotations_unknown(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.config["annotations"] = {"com.example.no-runtime.knows.this": "1", "org.opencontainers.image.unheard": "1"}
    bench.run(bundle).ok()


@covers("config.unknown-properties")
def unknown_properties(bench: Bench) -> None:
    """On every level, of every type."""
    bundle = bench.bundle()
    bundle.config |= {"x-unknown": {"a": [1]}, "unheard": None}
    for part in (bundle.config["root"], bundle.process, bundle.process["user"], bundle.linux, bundle.mounts[0]):
        part["x-unknown"] = ["a", {}]
    bundle.linux["resources"] = {"x-unknown": 7}
    bench.run(bundle).ok()


@covers("config.valid-values")
def valid_values(bench: Bench) -> None:
    """Values of a wrong type, of no list, and outside the range, in all corners of the config."""
    for path, value in (
        ("root/readonly", "yes"),
        ("mounts/0/options", "ro"),
        ("process/env", {"A": "b"}),
        ("process/user/uid", -1),
        ("process/user/uid", 1 << 40),
        ("process/user/gid", "root"),
        ("process/noNewPrivileges", "true"),
        ("process/oomScoreAdj", 5000),
        ("process/ioPriority", {"class": "IOPRIO_CLASS_BEST", "priority": 4}),
        ("process/ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 9}),
        ("process/scheduler", {"policy": "SCHED_FAST"}),
        ("process/capabilities/bounding", "CAP_KILL"),
        ("linux/rootfsPropagation", "sideways"),
        ("linux/namespaces", [{"type": "mount"}, {"type": "pids"}]),
        ("linux/devices", [{"path": "/dev/x", "type": "q", "major": 1, "minor": 3}]),
        ("linux/personality", {"domain": "HURD"}),
        ("linux/resources", {"pids": {"limit": "many"}}),
        ("linux/sysctl", {"kernel.no_such_key": "1"}),
    ):
        bundle = bench.bundle()
        config = bundle.config
        *way, last = path.split("/")
        for name in way:
            config = config[int(name) if name.isdigit() else name]  # type: ignore[index]
        config[last] = value
        try:
            bench.fails(bundle)
        except AssertionError as error:
            raise AssertionError(f"{path} = {value!r}: {error}") from None


@covers("config-linux.namespaces.duplicate")
def namespace_twice(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.linux["namespaces"].append({"type": "uts"})
    bench.fails(bundle)


@covers("config-linux.maskedPaths.absolute")
def relative_mask(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.linux["maskedPaths"] = ["etc/passwd"]
    bench.fails(bundle)


@covers("config-linux.readonlyPaths.absolute")
def relative_readonly(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.linux["readonlyPaths"] = ["etc"]
    bench.fails(bundle)


@covers("config-linux.resources.blockIO.weightDevice.one-of")
def weight_without_weight(bench: Bench) -> None:
    device = host.block_device()
    need(device, "this machine has no block device that has a request queue")
    assert device
    bundle = bench.bundle()
    entry = {"major": device[0], "minor": device[1]}
    bundle.linux["resources"] = {"blockIO": {"weightDevice": [entry]}}
    bench.fails(bundle)


@covers("config-linux.resources.rdma.one-of")
def rdma_without_limits(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.linux["resources"] = {"rdma": {"mlx5_1": {}}}
    bench.fails(bundle)


@covers("config-linux.resources.hugepageLimits.pageSize.known")
def huge_page_size(bench: Bench) -> None:
    """A size that no kernel has."""
    bundle = bench.bundle()
    bundle.linux["resources"] = {"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}
    bench.fails(bundle)


@covers("bundle.config.required", "bundle.config.place", "bundle.config.name")
def config_file(bench: Bench) -> None:
    """No file; one in a directory below; one of another name."""
    bundle = bench.bundle(config=False)
    bench.fails(bundle)
    for name in ("rootfs/config.json", "Config.json", "config"):
        other = bench.bundle()
        other.save()
        with open(f"{other.path}/config.json", "rb") as good, open(f"{bundle.path}/{name}", "wb") as copy:
            copy.write(good.read())
        bench.fails(bundle)
    with open(f"{bundle.path}/config", "rb") as good, open(f"{bundle.path}/config.json", "wb") as copy:
        copy.write(good.read())
    bench.run(bundle).ok()


@covers("glossary.json.utf8")
def utf8(bench: Bench) -> None:
    """UTF-8 arrives as it is; what is not UTF-8 is refused."""
    bundle = bench.shell('printf %s "$WORD" | od -An -tx1')
    bundle.process["env"].append("WORD=ä€😀")
    assert bytes.fromhex(bench.output(bundle)).decode() == "ä€😀"
    bundle = bench.bundle()
    bundle.process["env"].append("WORD=XYZ")
    bundle.save()
    with open(f"{bundle.path}/config.json", "rb") as file:
        bundle.raw = file.read().replace(b"XYZ", b"\xff\xfe")
    bench.fails(bundle)


@covers("glossary.json.duplicate-names")
def duplicate_names(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.save()
    with open(f"{bundle.path}/config.json", "rb") as file:
        bundle.raw = file.read().replace(b'"hostname"', b'"hostname": "other", "hostname"')
    bench.fails(bundle)
