"""Kubernetes itself: containerd, nerdctl, the validation suite of the CRI and a kubelet, built at pinned versions."""
