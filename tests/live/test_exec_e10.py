from __future__ import annotations
import json, os
from . import execs
def test_diff(live):
    for name, change in CHANGES.items():
        b = live.bundle()
        change(b)
        b.process["args"] = ["/probe", "--sleep"]
        r = live.launch(b)
        from . import process
        process.eventually(lambda: r.out.endswith("}\n"), "probe")
        a = r.json()
        x = live.command("exec", b.id, "/probe", "--sleep", limit=0.0001) if 0 else live.command("exec", b.id, "/probe")
        if x.code: print(name, x.report()); live.command("delete","--force", b.id); continue
        c = x.json()
        print("==", name)
        for k in a:
            if k == "status":
                da = dict(l.split(":",1) for l in a[k].splitlines()); dc = dict(l.split(":",1) for l in c[k].splitlines())
                for kk in da:
                    if da[kk] != dc.get(kk): print("  status", kk, da[kk], dc.get(kk))
            elif a[k] != c[k]:
                print("  ", k, a[k] if len(str(a[k]))<1500 else "...", "|||", c[k] if len(str(c[k]))<1500 else "...")
        live.command("delete","--force", b.id)
def n(b): pass
def userns(b): b.user_namespace()
def all_ns(b):
    b.user_namespace(); b.namespace("cgroup"); b.namespace("time"); b.linux["timeOffsets"]={"monotonic":{"secs":1000}}
def nomnt(b):
    b.share_host("mount"); b.config["mounts"]=[]
    b.config["mounts"]=[]
def rich(b):
    p=b.process
    p["user"]={"uid":1000,"gid":1000,"additionalGids":[5,2000],"umask":63}
    p["rlimits"]=[{"type":"RLIMIT_NOFILE","soft":100,"hard":200},{"type":"RLIMIT_CORE","soft":0,"hard":0}]
    p["oomScoreAdj"]=500
    p["scheduler"]={"policy":"SCHED_BATCH","nice":5}
    p["ioPriority"]={"class":"IOPRIO_CLASS_BE","priority":6}
    b.linux["personality"]={"domain":"LINUX32"}
    p["cwd"]="/tmp"
    b.namespace("cgroup"); b.namespace("time")
def caps(b):
    b.process["capabilities"]["inheritable"]=["CAP_CHOWN","CAP_KILL"]
    b.process["capabilities"]["ambient"]=["CAP_CHOWN"]
    b.process["user"]={"uid":1000,"gid":1000}
def hostall(b):
    for k in ("pid","network","ipc","uts"): b.share_host(k)
def ttyless(b): b.process["noNewPrivileges"]=False
CHANGES=dict(n=n,userns=userns,all_ns=all_ns,nomnt=nomnt,rich=rich,caps=caps,hostall=hostall,nnp=ttyless)
