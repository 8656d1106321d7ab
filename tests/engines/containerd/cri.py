"""A client of the Container Runtime Interface, doing what a kubelet does."""

from __future__ import annotations

import grpc

from .daemon import IMAGE
from .schema import CONTAINER, NODE, RUNTIME_DEFAULT, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self


class Failed(Exception):
    """The CRI plugin answered with an error; its text is that of the error."""


class Client:
    """A connection; every method of the service can be called by its name, with the request's fields.

    first  where the numbers of its pods begin, for connections that are used at the same time
    """

    def __init__(self, socket: str, first: int = 0) -> None:
        self._channel = grpc.insecure_channel(f"unix://{socket}", [("grpc.default_authority", "localhost")])
        self._messages = {name.rpartition(".")[2]: kind for name, kind in messages().items()}
        self._pods: dict[str, dict[str, Any]] = {}
        self._count = first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def __call__(self, method: str, limit: float = 60, **fields: Any) -> Any:
        """Call a method of the runtime service.  Raises Failed."""
        call = self._channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self._messages[f"{method}Response"].FromString,
        )
        try:
            return call(self._messages[f"{method}Request"](**fields), timeout=limit)
        except grpc.RpcError as error:
            raise Failed(error.details()) from None

    def pod(
        self,
        handler: str = "",
        *,
        pid: int = CONTAINER,
        host_network: bool = False,
        cgroup_parent: str = "",
        **options: Any,
    ) -> str:
        """Run a sandbox; its id.  `options` are more fields of its NamespaceOption."""
        self._count += 1
        options |= {"pid": pid, "network": NODE if host_network else 0}
        context = {"namespace_options": options, "seccomp": {"profile_type": RUNTIME_DEFAULT}}
        config = {
            "metadata": {"name": f"pod{self._count}", "uid": f"uid{self._count}", "namespace": "test"},
            "hostname": "" if host_network else f"pod{self._count}",
            "log_directory": "/run/pod-logs",
            "linux": {"cgroup_parent": cgroup_parent or f"/pods/pod{self._count}", "security_context": context},
        }
        pod: str = self("RunPodSandbox", config=config, runtime_handler=handler).pod_sandbox_id
        self._pods[pod] = config
        return pod

    def container(self, pod: str, command: Sequence[str], *, start: bool = True, **config: Any) -> str:
        """Create a container in a pod, and start it; its id.  Raises Failed."""
        self._count += 1
        context = config.setdefault("linux", {}).setdefault("security_context", {})
        context.setdefault("namespace_options", self._pods[pod]["linux"]["security_context"]["namespace_options"])
        context.setdefault("seccomp", {"profile_type": RUNTIME_DEFAULT})
        name = f"c{self._count}"
        full = {
            "metadata": {"name": name},
            "image": {"image": IMAGE},
            "command": list(command),
            "log_path": f"{name}.log",
        }
        request = {"pod_sandbox_id": pod, "config": {**full, **config}, "sandbox_config": self._pods[pod]}
        made: str = self("CreateContainer", **request).container_id
        if start:
            self("StartContainer", container_id=made)
        return made

    def output(self, container: str, *command: str, timeout: int = 0) -> str:
        """What a command says in a container; it has to succeed."""
        answer = self("ExecSync", container_id=container, cmd=list(command), timeout=timeout)
        assert answer.exit_code == 0, answer
        text: str = answer.stdout.decode()
        return text

    def status(self, container: str) -> Any:
        """The status of a container."""
        return self("ContainerStatus", container_id=container).status

    def remove(self, pod: str) -> None:
        """Stop and remove a pod with its containers."""
        self("StopPodSandbox", pod_sandbox_id=pod)
        self("RemovePodSandbox", pod_sandbox_id=pod)
        self._pods.pop(pod, None)

    def clear(self) -> None:
        """Remove all pods."""
        for pod in self("ListPodSandbox").items:
            self.remove(pod.id)
