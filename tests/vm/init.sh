#!/bin/busybox sh
# SPDX-License-Identifier: MIT
#
# First process of a guest. The kernel line may say: modules=A,B (what to load), and run="COMMAND", whose end powers the guest off; or
# jobs=FOLDER:FOLDER, for the lab: the machine's file system is mounted read-only, and the shell lines that come in by the virtio port are
# carried out. It then reports in frames: a line "KIND JOB CODE SIZE" and SIZE bytes of output; all report to /reports, so one process
# writes frames.
: "${modules=virtio_pci,virtio_mmio,vmw_vsock_virtio_transport,hv_sock}"
: "${run=virtsock echo -v -s vsock://:1024}"

bring_up() {
    /bin/busybox mount -t proc proc /proc   # by its path: busybox finds itself there when it is asked for a command
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev
    mkdir /dev/pts /dev/shm
    mount -t devpts pts /dev/pts
    mount -t tmpfs shm /dev/shm
    for module in $(echo "$modules" | tr , ' '); do
        modprobe "$module" 2>/dev/null || echo "init: $module does not fit this machine"
    done
    ip link set lo up
}

start() {       # JOB SCRIPT: run it in the machine's file system, in a session of its own; this shell's `&` would leave it deaf to SIGINT
    : >"/jobs/$1"
    (
        setsid chroot /root /usr/bin/env --default-signal=INT,QUIT /bin/sh -c "$2" >"/jobs/$1" 2>&1 </dev/null 3>&- 4>&- &
        echo $! >"/jobs/$1.pid"
        wait $!
        echo "done $1 $?" >&3
    ) &
}

signal() {      # JOB NAME: to its whole process group
    read -r group <"/jobs/$1.pid" && kill "-$2" "-$group"
}

peek() {        # JOB: report the output so far
    echo "peek $1 0" >&3
}

report() {
    while read -r kind job code; do
        [ -e "/jobs/$job" ] || continue
        size=$(stat -c %s "/jobs/$job")
        echo "$kind $job $code $size"
        head -c "$size" "/jobs/$job"
        [ "$kind" = done ] && rm "/jobs/$job" "/jobs/$job.pid"
    done
}

mount_machine() {
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose machine /machine
    mount --bind /machine /root
    for folder in /root/tmp /root/run /root/var/tmp; do
        mount -t tmpfs -o mode=1777 tmp "$folder"
    done
    for folder in dev proc sys; do
        mount --rbind "/$folder" "/root/$folder"
    done
    echo "$jobs" | tr : '\n' | while read -r shown; do   # what must be seen even where a tmpfs now hides it
        [ -e "/root$shown" ] || { mkdir -p "/root$shown" && mount --bind "/machine$shown" "/root$shown"; }
    done
}

serve() {
    mkdir /jobs
    mkfifo /reports
    exec 3<>/reports 4<>/dev/vport0p1
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
    report <&3 >&4 &
    : >/jobs/0
    echo "ready 0 0" >&3
    while read -r line <&4; do
        eval "$line"
    done                                    # until the other end of the port is gone
}

bring_up
if [ -n "$jobs" ]; then
    mount_machine
    serve
else
    PATH=/bin sh -c "$run"
    echo "init: $run: exit $?"
fi
poweroff -f
