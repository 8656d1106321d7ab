"""What must hold of every plan, whatever the config: order, slots, places of hooks."""

from __future__ import annotations

from ocirun.plan.ops import BARRIERS, FIXED_SLOTS, HOST, HOST_OPS, INIT, INIT_OPS, SLOT_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.plan.ops import Op, Plan

ROOT_CHANGES = ("pivot", "change_root", "enter_tree")
# The operations that put something into a slot, by the name of the argument.
MAKES = {
    "open_root": "slot", "open_path": "slot", "clone_tree": "slot", "clone_mount": "slot", "new_filesystem": "slot",
    "receive_fd": "slot", "move_root": "top", "copy_root": "slot", "enter_tree": "slot", "new_overlay": "slot", "add_layer": "overlay", "get_file": "slot",
}  # fmt: skip
# Arguments that the helper does not get: they word its errors.
FOR_REPORTS = {"places", "within"}
HOST_MAKES = ("open_procfs", "make_start_fifo", "open_hook_log", "open_namespace", "open_cgroup")
EMPTIES = {"close": "slot", "send_fd": "slot", "join_cgroup": "slot", "join_namespace": "slot", "use_console": "slave"}
# Once, and in this order, between the change of root and the program.
LAST_STEPS = [
    *("set_umask", "no_new_privs", "reset_affinity", "drop_bounding", "change_dir", "set_groups"),
    *("set_ids", "set_capabilities", "find_home", "find_program", "ready", "wait_start", "execute"),
]


def names(plan: Plan, actor: str = "") -> list[str]:
    """Names of the operations, those of one actor if it is given."""
    return [op.name for op in plan.ops if not actor or op.actor == actor]


def place(plan: Plan, *wanted: str) -> int:
    """The number of the only operation with one of these names."""
    found = [index for index, op in enumerate(plan.ops) if op.name in wanted]
    assert len(found) == 1, f"{wanted}: {found}"
    return found[0]


def check(plan: Plan) -> None:
    """All rules."""
    check_arguments(plan)
    check_slots(plan)
    check_order(plan)
    check_hooks(plan)


def check_arguments(plan: Plan) -> None:
    """Every operation is known, with known arguments, for the actor that can run it."""
    for op in plan.ops:
        if op.actor == INIT:
            known = {name for name, _ in INIT_OPS[op.name][1]} | FOR_REPORTS
        else:
            assert op.actor == HOST
            known = set(HOST_OPS[op.name])
            assert set(op.args) == known, op
        assert set(op.args) <= known, op


def check_slots(plan: Plan) -> None:
    """Slots are filled before they are used; the inherited ones come first, in one row."""
    assert tuple(plan.slots[:3]) == FIXED_SLOTS
    assert len(set(plan.slots)) == len(plan.slots) <= SLOT_LIMIT
    inherited = set(plan.slots[: plan.inherited])
    spawn = place(plan, "spawn")
    given = [op.args["slot"] for op in plan.ops[:spawn] if op.name in HOST_MAKES]
    assert given == plan.slots[3 : plan.inherited]
    assert not [op for op in plan.ops[spawn:] if op.name in HOST_MAKES]
    full = set(inherited)
    for op in plan.ops:
        if op.actor == HOST:
            continue
        for argument, kind in INIT_OPS[op.name][1]:
            slot = op.args.get(argument)
            if kind != "slot" or slot is None:
                continue
            assert slot in plan.slots, op
            if MAKES.get(op.name) == argument or (op.name, argument) in _MORE_MAKES:
                full.add(slot)
            else:
                assert slot in full, f"{op} uses {slot} before it is filled"
        if op.name in EMPTIES and not op.args.get("keep"):
            full.discard(op.args[EMPTIES[op.name]])


_MORE_MAKES = {("open_console", "master"), ("open_console", "slave"), ("mask", "empty")}


def _after_root(plan: Plan, op: Op) -> bool:
    return op.name in ("mask", "make_readonly", "open_console", "use_console", "fix_stdio")


def check_order(plan: Plan) -> None:
    """The change of root between the mounts and the masks; credentials last, in their order."""
    change = place(plan, *ROOT_CHANGES)
    spawn = place(plan, "spawn")
    for index, op in enumerate(plan.ops):
        if op.actor == INIT:
            assert index > spawn
        if _after_root(plan, op):
            assert index > change, op
        if op.name in (
            "attach",
            "new_filesystem",
            "clone_tree",
            "make_node",
            "make_link",
            "write_proc",
            "set_hostname",
        ):
            # What begins as the container's root has no other one.
            assert index < change or plan.ops[change].name == "enter_tree", op
    if plan.ops[change].name == "enter_tree":
        # Copies made in the host's namespace are peers of its mounts, until they are cut off.
        before = plan.ops[:change]
        cut = {
            op.args["slot"]: op.args["recursive"]
            for op in before
            if op.name == "set_mount_attr" and op.args["propagation"]
        }
        copies = {op.args["slot"]: op.args["recursive"] for op in before if op.name == "clone_tree"}
        assert cut == copies
    steps = [name for name in names(plan, INIT) if name in LAST_STEPS]
    seen = [name for at, name in enumerate(steps) if name not in steps[:at]]
    assert seen == [name for name in LAST_STEPS if name in seen]
    once = [name for name in steps if name != "change_dir"]
    assert len(once) == len(set(once))
    must = {
        "set_umask",
        "drop_bounding",
        "set_ids",
        "set_capabilities",
        "find_program",
        "ready",
        "wait_start",
        "execute",
    }
    assert must <= set(seen)
    changes = [index for index, op in enumerate(plan.ops) if op.name == "change_dir"]
    assert changes[0] < place(plan, "set_ids") < changes[-1]
    masks = [index for index, op in enumerate(plan.ops) if op.name in ("mask", "make_readonly", "set_mount_attr")]
    assert all(index < place(plan, "drop_bounding") for index in masks)
    terminal = [index for index, op in enumerate(plan.ops) if op.name in ("use_console", "fix_stdio")]
    assert len(terminal) == 1
    assert all(index > terminal[0] for index, op in enumerate(plan.ops) if op.name == "mask")
    assert names(plan, INIT)[0] == "guard"
    assert names(plan, INIT)[-1] == "execute"
    # After `ready` there is nobody to answer.
    assert not [op for op in plan.ops[place(plan, "ready") + 1 :] if op.name in BARRIERS]


def check_hooks(plan: Plan) -> None:
    """The six places: prestart, createRuntime, createContainer, startContainer, poststart, poststop."""
    change, start, execute = place(plan, *ROOT_CHANGES), place(plan, "wait_start"), place(plan, "execute")
    order = []
    for index, op in enumerate(plan.ops):
        if op.name == "host_hook":
            kind = op.args["kind"]
            assert op.pointer == f"/hooks/{kind}/{op.args['index']}"
            assert (index < change) if kind in ("prestart", "createRuntime") else (index > execute)
        elif op.name == "run_hook":
            kind = op.pointer.split("/")[2]
            assert (index < change) if kind == "createContainer" else (start < index < execute)
        else:
            continue
        order.append(kind)
    sequence = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    assert order == sorted(order, key=sequence.index)
