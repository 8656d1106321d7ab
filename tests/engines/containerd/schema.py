"""The part of Kubernetes' Container Runtime Interface, version 1, that the tests call.

One line for each message: its name, then NAME=NUMBER:TYPE for each field, with
"*" before the type of a repeated one.  Numbers are those of api.proto of cri-api.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MESSAGES = r"""
VersionRequest version=1:string
VersionResponse version=1:string runtime_name=2:string runtime_version=3:string runtime_api_version=4:string
PodSandboxMetadata name=1:string uid=2:string namespace=3:string attempt=4:uint32
IDMapping host_id=1:uint32 container_id=2:uint32 length=3:uint32
UserNamespace mode=1:int32 uids=2:*IDMapping gids=3:*IDMapping
NamespaceOption network=1:int32 pid=2:int32 ipc=3:int32 target_id=4:string userns_options=5:UserNamespace
Int64Value value=1:int64
UInt64Value value=1:uint64
SecurityProfile profile_type=1:int32 localhost_ref=2:string
LinuxSandboxSecurityContext namespace_options=1:NamespaceOption privileged=6:bool seccomp=9:SecurityProfile
LinuxPodSandboxConfig cgroup_parent=1:string security_context=2:LinuxSandboxSecurityContext
PodSandboxConfig metadata=1:PodSandboxMetadata hostname=2:string log_directory=3:string linux=8:LinuxPodSandboxConfig
RunPodSandboxRequest config=1:PodSandboxConfig runtime_handler=2:string
RunPodSandboxResponse pod_sandbox_id=1:string
StopPodSandboxRequest pod_sandbox_id=1:string
StopPodSandboxResponse
RemovePodSandboxRequest pod_sandbox_id=1:string
RemovePodSandboxResponse
PodSandboxNetworkStatus ip=1:string
PodSandboxStatus id=1:string state=3:int32 network=5:PodSandboxNetworkStatus runtime_handler=9:string
PodSandboxStatusRequest pod_sandbox_id=1:string
PodSandboxStatusResponse status=1:PodSandboxStatus
PodSandbox id=1:string state=3:int32 runtime_handler=7:string
ListPodSandboxRequest
ListPodSandboxResponse items=1:*PodSandbox
ImageSpec image=1:string
KeyValue key=1:string value=2:string
Mount container_path=1:string host_path=2:string readonly=3:bool propagation=5:int32 \
 uidMappings=6:*IDMapping gidMappings=7:*IDMapping recursive_read_only=8:bool
CDIDevice name=1:string
LinuxContainerResources cpu_period=1:int64 cpu_quota=2:int64 cpu_shares=3:int64 memory_limit_in_bytes=4:int64 \
 oom_score_adj=5:int64 cpuset_cpus=6:string
Capability add_capabilities=1:*string drop_capabilities=2:*string
LinuxContainerSecurityContext capabilities=1:Capability privileged=2:bool namespace_options=3:NamespaceOption \
 run_as_user=5:Int64Value run_as_group=12:Int64Value readonly_rootfs=7:bool supplemental_groups=8:*int64 \
 no_new_privs=11:bool masked_paths=13:*string readonly_paths=14:*string seccomp=15:SecurityProfile
LinuxContainerConfig resources=1:LinuxContainerResources security_context=2:LinuxContainerSecurityContext
ContainerMetadata name=1:string attempt=2:uint32
ContainerConfig metadata=1:ContainerMetadata image=2:ImageSpec command=3:*string args=4:*string \
 working_dir=5:string envs=6:*KeyValue mounts=7:*Mount log_path=11:string stdin=12:bool tty=14:bool \
 linux=15:LinuxContainerConfig CDI_devices=17:*CDIDevice
CreateContainerRequest pod_sandbox_id=1:string config=2:ContainerConfig sandbox_config=3:PodSandboxConfig
CreateContainerResponse container_id=1:string
StartContainerRequest container_id=1:string
StartContainerResponse
StopContainerRequest container_id=1:string timeout=2:int64
StopContainerResponse
RemoveContainerRequest container_id=1:string
RemoveContainerResponse
ContainerStatus id=1:string state=3:int32 exit_code=7:int32 reason=10:string message=11:string
ContainerStatusRequest container_id=1:string
ContainerStatusResponse status=1:ContainerStatus
UpdateContainerResourcesRequest container_id=1:string linux=2:LinuxContainerResources
UpdateContainerResourcesResponse
ExecSyncRequest container_id=1:string cmd=2:*string timeout=3:int64
ExecSyncResponse stdout=1:bytes stderr=2:bytes exit_code=3:int32
CpuUsage timestamp=1:int64 usage_core_nano_seconds=2:UInt64Value
MemoryUsage timestamp=1:int64 working_set_bytes=2:UInt64Value
ContainerStats cpu=2:CpuUsage memory=3:MemoryUsage
ContainerStatsRequest container_id=1:string
ContainerStatsResponse stats=1:ContainerStats
StatusRequest verbose=1:bool
RuntimeHandlerFeatures recursive_read_only_mounts=1:bool user_namespaces=2:bool
RuntimeHandler name=1:string features=2:RuntimeHandlerFeatures
StatusResponse runtime_handlers=3:*RuntimeHandler
"""

POD, CONTAINER, NODE, TARGET = range(4)
RUNTIME_DEFAULT, UNCONFINED = range(2)
RUNNING, EXITED = 1, 2
_TYPES = {"int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13}
_MESSAGE = 11


def messages() -> dict[str, Any]:
    """The classes of all messages by name."""
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package="runtime.v1", syntax="proto3")
    for line in MESSAGES.replace("\\\n", "").strip().splitlines():
        name, *fields = line.split()
        message = file.message_type.add(name=name)
        for field in fields:
            key, _, rest = field.partition("=")
            number, _, kind = rest.partition(":")
            added = message.field.add(name=key, number=int(number), label=3 if kind.startswith("*") else 1)
            kind = kind.removeprefix("*")
            added.type = _TYPES.get(kind, _MESSAGE)
            if kind not in _TYPES:
                added.type_name = f".runtime.v1.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles(["cri.proto"], pool)
