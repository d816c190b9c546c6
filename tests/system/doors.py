"""What a taken-over expiryd could do: system calls made inside the running process, by ptrace(2).

Each door is tried three times, in a process of root without a sandbox, in the agent that root started, and in
the server that the agent started: the first shows that the door is one, the others that it is closed. Doors
that stay open are named with their reason, and it is an error if one of them is closed after all.

usage: doors.py PID-OF-AGENT HOST-ROOT FOLDER     (x86_64, as root, in a mount namespace of its own)
"""

import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SINGLESTEP, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_ATTACH, PTRACE_DETACH = 9, 12, 13, 16, 17
REGISTERS = """r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss
fs_base gs_base ds es fs gs""".split()
CALL = dict(
    open=2, mmap=9, mprotect=10, socket=41, connect=42, sendto=44, sendmsg=46, shutdown=48, bind=49, listen=50, setsockopt=54, fcntl=72, truncate=76, rename=82, mkdir=83, link=86,
    unlink=87, symlink=88, chmod=90, chown=92, ptrace=101, mknod=133, mount=165, setxattr=188, kill=62,
    keyctl=250, utimensat=280, unshare=272, setns=308, perf_event_open=298,
    process_vm_readv=310, memfd_create=319, bpf=321, userfaultfd=323, execve=59, execveat=322, io_uring_setup=425,
    openat2=437, pidfd_open=434, fsopen=430, clone3=435, umount2=166,
)
AT_FDCWD, O_WRONLY, O_CREAT, AT_EXECVE_CHECK = -100 & (2**64 - 1), 1, 0o100, 0x10000


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTERS]


def ptrace(request, pid, data=0):
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, pid, None, data) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


class Process:
    """A process that waits in a system call, and makes others meanwhile."""

    def __init__(self, pid):
        self.pid = pid
        self.listener = None
        ptrace(PTRACE_ATTACH, pid)
        os.waitpid(pid, 0x40000000)
        self.memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        self.before = Registers()
        ptrace(PTRACE_GETREGS, pid, ctypes.addressof(self.before))
        assert os.pread(self.memory, 2, self.before.rip - 2) == b"\x0f\x05", "it waits in no system call"

    def call(self, name, *arguments):
        """The result, as the kernel gives it; bytes are put into the memory of the process."""
        place, values = (self.before.rsp - 16384) & ~63, []
        for argument in arguments:
            if isinstance(argument, bytes):
                os.pwrite(self.memory, argument + b"\0", place)
                values.append(place)
                place += (len(argument) + 64) & ~63
            else:
                values.append(argument)
        registers = Registers.from_buffer_copy(self.before)
        registers.rax, registers.orig_rax, registers.rip = CALL[name], 2**64 - 1, self.before.rip - 2
        for register, value in zip(["rdi", "rsi", "rdx", "r10", "r8", "r9"], values):
            setattr(registers, register, value & (2**64 - 1))
        ptrace(PTRACE_SETREGS, self.pid, ctypes.addressof(registers))
        ptrace(PTRACE_SINGLESTEP, self.pid)
        os.waitpid(self.pid, 0x40000000)
        ptrace(PTRACE_GETREGS, self.pid, ctypes.addressof(registers))
        return ctypes.c_long(registers.rax).value

    def release(self):
        ptrace(PTRACE_SETREGS, self.pid, ctypes.addressof(self.before))
        ptrace(PTRACE_DETACH, self.pid)


class Doors:
    """Things to try; each returns what the last call of it returned."""

    def __init__(self, host, folder, other, port):
        self.host, self.folder, self.other, self.port = host, folder, other, port
        self.names = 0

    def new(self, content="x"):
        """A file of root that nobody else may touch."""
        self.names += 1
        path = f"{self.folder}/file-{self.names}"
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(content)
        return path.encode()

    def write(self, p):
        return p.call("open", self.new(), O_WRONLY)

    def write_openat2(self, p):
        how = struct.pack("QQQ", O_WRONLY, 0, 0)
        return p.call("openat2", AT_FDCWD, self.new(), how, len(how))

    def write_pki(self, p):
        how = struct.pack("QQQ", O_WRONLY, 0, 0)
        path = f"{self.host}/etc/kubernetes/pki/apiserver.crt".encode()
        return p.call("openat2", AT_FDCWD, path, how, len(how))

    def truncate(self, p):
        return p.call("truncate", self.new(), 0)

    def create(self, p):
        how = struct.pack("QQQ", O_WRONLY | O_CREAT, 0o600, 0)
        return p.call("openat2", AT_FDCWD, self.new() + b".new", how, len(how))

    def make_directory(self, p):
        return p.call("mkdir", self.new() + b".d", 0o700)

    def make_device(self, p):
        return p.call("mknod", self.new() + b".null", 0o020666, 0x103)

    def unlink(self, p):
        return p.call("unlink", self.new())

    def rename(self, p):
        path = self.new()
        return p.call("rename", path, path + b".renamed")

    def link(self, p):
        path = self.new()
        return p.call("link", path, path + b".link")

    def symlink(self, p):
        return p.call("symlink", b"/etc/shadow", self.new() + b".symlink")

    def chmod(self, p):
        return p.call("chmod", self.new(), 0o4777)

    def chown(self, p):
        return p.call("chown", self.new(), 1, 1)

    def utimensat(self, p):
        return p.call("utimensat", AT_FDCWD, self.new(), 0, 0)

    def setxattr(self, p):
        return p.call("setxattr", self.new(), b"user.x", b"y", 1, 0)

    def execute(self, p):
        empty = struct.pack("Q", 0)
        return p.call("execveat", AT_FDCWD, b"/bin/true", empty, empty, AT_EXECVE_CHECK)

    def execute_garbage(self, p):
        path = self.new("no program")
        os.chmod(path, 0o755)
        empty = struct.pack("Q", 0)
        # Which is found out once it may be executed.
        result = p.call("execve", path, empty, empty)
        return 0 if result == -errno.ENOEXEC else result

    def memory_file(self, p):
        return p.call("memfd_create", b"x", 0)

    def ptrace(self, p):
        result = p.call("ptrace", 0x4206, self.other, 0, 0)
        if result == 0:
            p.call("ptrace", PTRACE_DETACH, self.other, 0, 0)
        return result

    def kill(self, p):
        return p.call("kill", self.other, 0)

    def kill_for_good(self, p):
        # Of the same user, so that no identity forbids it.
        victim = subprocess.Popen(["sleep", "1000"], user=os.stat(f"/proc/{p.pid}").st_uid)
        result = p.call("kill", victim.pid, 9)
        victim.kill()
        victim.wait()
        return result

    def read_memory(self, p):
        with open(f"/proc/{self.other}/maps") as maps:
            address = int(maps.readline().split("-")[0], 16)
        room = p.before.rsp - 32768
        local, remote = struct.pack("QQ", room, 16), struct.pack("QQ", address, 16)
        return p.call("process_vm_readv", self.other, local, 1, remote, 1, 0)

    def pidfd(self, p):
        return p.call("pidfd_open", self.other, 0)

    def mount(self, p):
        result = p.call("mount", b"none", f"{self.folder}/mount".encode(), b"tmpfs", 0, 0)
        if result == 0:
            p.call("umount2", f"{self.folder}/mount".encode(), 0)
        return result

    def mount_new(self, p):
        return p.call("fsopen", b"tmpfs", 0)

    def unshare(kind):
        return lambda self, p: p.call("unshare", kind)

    unshare_mount = unshare(0x20000)
    unshare_uts = unshare(0x4000000)
    unshare_ipc = unshare(0x8000000)
    unshare_net = unshare(0x40000000)
    unshare_pid = unshare(0x20000000)
    unshare_cgroup = unshare(0x2000000)
    unshare_time = unshare(0x80)
    unshare_user = unshare(0x10000000)

    def clone_newer(self, p):
        # Too short: EINVAL where there is such a call, without a process in the control.
        return 0 if p.call("clone3", b"x" * 64, 8) == -errno.EINVAL else -errno.ENOSYS

    def setns(self, p):
        fd = p.call("open", f"/proc/{self.other}/ns/uts".encode(), 0)
        return fd if fd < 0 else p.call("setns", fd, 0)

    def bpf(self, p):
        attributes = struct.pack("IIIII", 2, 4, 4, 1, 0) + bytes(100)
        return p.call("bpf", 0, attributes, len(attributes))

    def perf_event_open(self, p):
        attributes = struct.pack("IIQ", 1, 112, 0) + bytes(96)
        return p.call("perf_event_open", attributes, 0, -1, -1, 0)

    def io_uring(self, p):
        return p.call("io_uring_setup", 1, bytes(120))

    def userfaultfd(self, p):
        return p.call("userfaultfd", 0)

    def keyctl(self, p):
        return p.call("keyctl", 0, -3, 1)

    def make_socket(family, kind, protocol=0):
        return lambda self, p: p.call("socket", family, kind, protocol)

    socket_raw = make_socket(socket.AF_INET, socket.SOCK_RAW, 1)
    socket_packet = make_socket(socket.AF_PACKET, socket.SOCK_RAW)
    socket_netlink = make_socket(socket.AF_NETLINK, socket.SOCK_RAW)
    socket_vsock = make_socket(40, socket.SOCK_STREAM)
    socket_bluetooth = make_socket(31, socket.SOCK_RAW, 1)

    def connect_unix(name, kind):
        def attempt(self, p):
            address = struct.pack("H", socket.AF_UNIX) + name(self)
            fd = p.call("socket", socket.AF_UNIX, kind, 0)
            return fd if fd < 0 else p.call("connect", fd, address, len(address))
        return attempt

    connect_stream = connect_unix(lambda self: f"{self.folder}/stream".encode(), socket.SOCK_STREAM)
    connect_datagram = connect_unix(lambda self: f"{self.folder}/datagram".encode(), socket.SOCK_DGRAM)
    connect_abstract = connect_unix(lambda self: b"\0expiryd-doors", socket.SOCK_DGRAM)

    def address(self):
        """Of somebody who listens on TCP."""
        return struct.pack("=H", socket.AF_INET) + struct.pack(">H", self.port) + b"\x7f\0\0\1" + bytes(8)

    def connect_tcp(self, p):
        fd = p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
        return fd if fd < 0 else p.call("connect", fd, self.address(), 16)

    def listen_tcp(self, p):
        fd = p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
        return fd if fd < 0 else p.call("listen", fd, 1)

    def listening(self, p):
        """A socket that listens: the one that it has, or a new one."""
        if p.listener is not None:
            return p.listener
        fd = p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
        return fd if fd < 0 or p.call("listen", fd, 1) < 0 else fd

    def listen_no_more(self, p):
        return p.call("shutdown", self.listening(p), socket.SHUT_RDWR)

    def connect_by_fast_open(self, p):
        fd = self.listening(p)
        p.call("shutdown", fd, socket.SHUT_RDWR)
        result = p.call("sendto", fd, b"hello", 5, 0x20000000 | socket.MSG_DONTWAIT, self.address(), 16)
        return 0 if result == -errno.EINPROGRESS else result

    def linger(self, p):
        option = struct.pack("ii", 1, 3600)
        return p.call("setsockopt", self.listening(p), socket.SOL_SOCKET, socket.SO_LINGER, option, len(option))

    def send_descriptor(self, p):
        # What is wrong is found out once it may be called.
        result = p.call("sendmsg", -1, 0, 0)
        return 0 if result == -errno.EBADF else result

    def change_standard_error(self, p):
        return p.call("fcntl", 2, 4, p.call("fcntl", 2, 3, 0))

    def send_udp(self, p):
        return p.call("socket", socket.AF_INET, socket.SOCK_DGRAM, 0)

    def memory_executable(self, p):
        return p.call("mmap", 0, 4096, 7, 0x22, -1, 0)

    def memory_made_executable(self, p):
        page = p.call("mmap", 0, 4096, 3, 0x22, -1, 0)
        return page if -4096 < page < 0 else p.call("mprotect", page, 4096, 5)

    def read(path):
        def attempt(self, p):
            how = struct.pack("QQQ", 0, 0, 0)
            name = path.format(host=self.host, other=self.other).encode()
            return p.call("openat2", AT_FDCWD, name, how, len(how))
        return attempt

    read_shadow = read("/etc/shadow")
    read_os_release = read("/etc/os-release")
    read_certificate = read("{host}/etc/kubernetes/pki/apiserver.crt")
    read_pod_volume = read("{host}/var/lib/kubelet/pods/0/volumes/token")
    read_etcd_data = read("{host}/var/lib/etcd/member/snap/db")
    read_process = read("/proc/{other}/environ")
    read_ca_key = read("{host}/etc/kubernetes/pki/ca.key")


#: What stays open, and why (docs/threat-model.md).
OPEN = {
    "agent": {
        "read_certificate": "it is what the agent is for",
        "read_ca_key": "Landlock grants directories, for a renewal makes new files; the unit masks the keys, "
        "AppArmor denies them",
        "connect_tcp": "the API server's address is in a kubeconfig",
        "send_udp": "a name is resolved by it",
        "listen_tcp": "a reload may change the address",
        "listen_no_more": "the sockets are its own",
        "connect_by_fast_open": "it may connect anyhow",
        "linger": "the sockets are its own",
        "send_descriptor": "it hands its sockets to the server",
        "change_standard_error": "its own, too",
    },
    "server": {},
}

#: What /proc/PID/status says of each; the server has nothing of the bounding set's.
STATUS = {
    "agent": {"CapEff": "0000000000000004", "CapPrm": "0000000000000004"},
    "server": {"CapEff": "0000000000000000", "CapPrm": "0000000000000000"},
}
OF_BOTH = {"Uid": "65534\t65534\t65534\t65534", "CapBnd": "0000000000000004", "CapAmb": "0000000000000000",
           "NoNewPrivs": "1", "Seccomp": "2"}

#: What a kernel may not have at all.
ABSENT = {-errno.EAFNOSUPPORT, -errno.EPROTONOSUPPORT, -errno.ESOCKTNOSUPPORT, -errno.ENOSYS}


def listen(folder):
    sockets = []
    for name, kind in [(f"{folder}/stream", socket.SOCK_STREAM), (f"{folder}/datagram", socket.SOCK_DGRAM),
                       ("\0expiryd-doors", socket.SOCK_DGRAM)]:
        made = socket.socket(socket.AF_UNIX, kind)
        made.bind(name)
        if kind == socket.SOCK_STREAM:
            made.listen()
        if not name.startswith("\0"):
            os.chmod(name, 0o600)
        sockets.append(made)
    return sockets


def sleeping():
    """A process of root that waits in a system call."""
    process = subprocess.Popen(["sleep", "1000"])
    while open(f"/proc/{process.pid}/syscall").read().split()[0] not in ("35", "230"):
        time.sleep(0.001)
    return process


def meaning(result):
    return "open" if result >= 0 or result < -4095 else errno.errorcode.get(-result, str(result))


def listener_of(pid):
    """A descriptor of a process's TCP socket that listens."""
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    folder = f"/proc/{pid}/fd"
    return next(int(fd) for fd in os.listdir(folder) if os.readlink(f"{folder}/{fd}") in listening)


def server_of(agent):
    with open(f"/proc/{agent}/task/{agent}/children") as children:
        server = int(children.read().split()[0])
    with open(f"/proc/{server}/comm") as name:
        assert name.read() == "expiryd-server\n", "it is another process"
    return server


def main():
    agent, host, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    processes = {"agent": agent, "server": server_of(agent)}
    os.makedirs(f"{folder}/mount", exist_ok=True)
    sockets = listen(folder)
    tcp = socket.create_server(("127.0.0.1", 0))
    other = sleeping()
    names = [name for name, door in vars(Doors).items()
             if callable(door) and not name.startswith("__")
             and name not in ("new", "unshare", "make_socket", "connect_unix", "read", "listening", "address")]
    doors, results, failures = Doors(host, folder, other.pid, tcp.getsockname()[1]), {"root": {}}, 0
    for which, pid in processes.items():
        process = Process(pid)
        if which == "server":
            # The agent has it, too, and goes on with it.
            process.listener = listener_of(pid)
        results[which] = {name: getattr(doors, name)(process) for name in names}
        process.release()
    for name in names:
        # One for each: some doors lead out of where the others are.
        control = sleeping()
        results["root"][name] = getattr(doors, name)(Process(control.pid))
        control.kill()
    other.kill()
    for name in names:
        root = results["root"][name]
        absent = meaning(root) != "open" and root in ABSENT
        for which in processes:
            inside = results[which][name]
            as_it_should = absent or (meaning(root) == "open"
                                      and (meaning(inside) == "open") == (name in OPEN[which]))
            failures += not as_it_should
            print(f"{'ok    ' if as_it_should else 'FAILED'} {name:24} root: {meaning(root):14} "
                  f"{which}: {meaning(inside)}{'  (this kernel has none)' if absent else ''}")
    for which, pid in processes.items():
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            for field, value in (STATUS[which] | OF_BOTH).items():
                if status[field] != value:
                    failures += 1
                    print(f"FAILED {which}'s thread {task}: {field} is {status[field]}, not {value}")
    for which in processes:
        closed = sum(meaning(result) != "open" for result in results[which].values())
        print(f"{which}: {len(names)} doors, {closed} closed, {len(OPEN[which])} left open on purpose")
    print(f"{failures} failures")
    del sockets, tcp
    sys.exit(failures != 0)


main()
