"""On the path of a Python process: it and its children reach no other machine. A notebook's kernel needs loopback."""

import socket

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def guarded(real):
    def call(self, *arguments):
        address = arguments[-1]
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise OSError(f"sockets are blocked, and one asked for {address[0]}")
        return real(self, *arguments)

    return call


for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
