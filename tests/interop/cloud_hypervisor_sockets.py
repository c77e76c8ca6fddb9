# SPDX-License-Identifier: Apache-2.0
"""Servers for the sockets of a command line: vhost-user devices and a TPM, only as far as the VMM needs them before its
guest runs. The devices do not work.
"""
import contextlib
import os
import socket
import struct
import threading

# vhost-user protocol: requests that need an answer, and the answer. Features: VIRTIO_F_VERSION_1 and
# VHOST_USER_F_PROTOCOL_FEATURES; protocol features: MQ and CONFIG.
VHOST_ANSWERS = {1: 1 << 32 | 1 << 30, 15: 1 << 0 | 1 << 9, 17: 8}
VHOST_GET_CONFIG = 24
VHOST_VERSION, VHOST_REPLY = 1, 4


def read(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def vhost_user_serve(connection):
    while True:
        request, _, size = struct.unpack("<III", read(connection, 12))
        payload = read(connection, size)
        if request in VHOST_ANSWERS:
            payload = struct.pack("<Q", VHOST_ANSWERS[request])
        elif request != VHOST_GET_CONFIG:
            continue
        connection.sendall(struct.pack("<III", request, VHOST_VERSION | VHOST_REPLY, len(payload)) + payload)


# The control channel of swtpm (swtpm_ioctls(3)): for each command the size of its data, and its answer: a result and
# further data. All capabilities are set.
TPM_INIT, TPM_SET_DATAFD, TPM_SET_BUFFER_SIZE = 2, 16, 17
TPM_COMMANDS = {1: (0, struct.pack(">Q", 0x1ffff)), TPM_INIT: (4, bytes(4)), 4: (0, bytes(8)),
                TPM_SET_BUFFER_SIZE: (4, struct.pack(">IIII", 0, 4096, 4096, 4096))}
# A TPM 2.0's answer to everything: success.
TPM_ANSWER = struct.pack(">HII", 0x8001, 10, 0)


def tpm_data_serve(connection):
    while connection.recv(4096):
        connection.sendall(TPM_ANSWER)


def tpm_serve(connection):
    while True:
        data, fds, _, _ = socket.recv_fds(connection, 4, 1)
        if not data:
            return
        command, = struct.unpack(">I", data)
        # Every command comes with one.
        for fd in fds:
            if command == TPM_SET_DATAFD:
                serve_aside(tpm_data_serve, socket.socket(fileno=fd))
            else:
                os.close(fd)
        size, answer = TPM_COMMANDS.get(command, (0, bytes(4)))
        read(connection, size)
        connection.sendall(answer)


def serve_aside(serve, connection):
    def body():
        with connection, contextlib.suppress(EOFError, OSError):
            serve(connection)

    threading.Thread(target=body, daemon=True).start()


@contextlib.contextmanager
def listening(path, serve):
    """Serves every connection to a socket within the context."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    serve_aside(serve, listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
