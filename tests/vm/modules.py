# SPDX-License-Identifier: MIT
"""Which of the kernel's modules for AF_VSOCK a guest has, changed while it runs.

Owns loading and unloading. Knows nothing of what the modules do.
"""

import time

from . import kernel

OURS = ("vsock_diag", "vhost_vsock", "vsock_loopback", "vmw_vsock_virtio_transport", "vmw_vsock_virtio_transport_common", "vhost", "vhost_iotlb",
        "vsock")                # in an order in which they can be unloaded
PATIENCE = 30                   # seconds: the kernel keeps a socket that was closed for up to 8


def loaded(vm):
    return {line.split()[0] for line in vm.run(["cat", "/proc/modules"]).text.splitlines()}


def in_order(files):
    """{name: file}, each after what it needs; the kernel's list has what is needed most behind."""
    order = {}
    for file, needs in files.items():
        for each in [*reversed(needs), file]:
            order.setdefault(each.stem.split(".")[0].replace("-", "_"), each)
    return order


def exactly(vm, *names):
    """These, with what they need, and no other of OURS. The guest sees their files, in this machine's cache."""
    wanted, have = in_order(kernel.get().modules(names)), loaded(vm)
    for name in OURS:
        if name in have and name not in wanted:
            unload(vm, name)
    for name, file in wanted.items():
        if name not in have:
            done = vm.run(["insmod", str(file)])
            assert done.code == 0, done.text


def unload(vm, name):
    end = time.monotonic() + PATIENCE
    while (done := vm.run(["rmmod", name])).code != 0:
        assert time.monotonic() < end, done.text
        time.sleep(0.1)
