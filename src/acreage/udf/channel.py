"""Messages between a runner and its worker: JSON over a socket, arrays in shared memory.

A message is a length and a JSON object; an array travels beside it as the descriptor of a memory file
(memfd). Nothing is unpickled on either side. This module is read by the worker, where `acreage` cannot be
imported: it stands on the standard library and NumPy alone.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

_LENGTH = struct.Struct("!Q")
#: Longest JSON of one message; arrays are not in it.
MAX_JSON = 512 * 1024 * 1024
#: Longest JSON of a reply: features and labels; what a hostile worker can make the runner parse.
MAX_REPLY = 64 * 1024 * 1024
_MAX_DIMENSIONS = 32
_CHUNK = 1 << 30


class ChannelBroken(Exception):
    """The other side closed the channel or sent something that is not a message."""


def send(
    sock: socket.socket,
    message: dict[str, Any],
    array: npt.NDArray[Any] | None = None,
    max_json: int = MAX_JSON,
) -> None:
    """Send a JSON object and, with it, an array of any shape and any plain dtype.

    Raises:
        ChannelBroken: the other side is gone.
        TypeError: the message is not JSON.
        ValueError: the message is longer than `max_json`.
    """
    fd = -1
    if array is not None:
        message = {**message, "array": {"dtype": array.dtype.str, "shape": list(array.shape)}}
    body = json.dumps(message).encode()
    if len(body) > max_json:
        raise ValueError(f"a message of {len(body)} bytes, at most {max_json} can be sent")
    try:
        if array is not None:
            fd = _write(array)
        socket.send_fds(sock, [_LENGTH.pack(len(body))], [fd] if fd >= 0 else [])
        sock.sendall(body)
    except (ConnectionError, TimeoutError) as error:
        raise ChannelBroken(str(error)) from error
    finally:
        if fd >= 0:
            os.close(fd)


def receive(sock: socket.socket, max_json: int = MAX_JSON) -> tuple[dict[str, Any], int]:
    """The next message and the descriptor that came with it (-1 where none did), which the caller closes.

    Args:
        sock: the channel.
        max_json: longest message that is taken.

    Raises:
        ChannelBroken: end of the channel, or bytes that are no message.
    """
    head, fds, _, _ = _receive_head(sock)
    fd = fds[0] if fds else -1
    for extra in fds[1:]:
        os.close(extra)
    try:
        if not head:
            raise ChannelBroken("the channel was closed")
        head += _receive_exactly(sock, _LENGTH.size - len(head))
        (length,) = _LENGTH.unpack(head)
        if length > max_json:
            raise ChannelBroken(f"a message that claims {length} bytes")
        message = _parse(_receive_exactly(sock, length))
    except ChannelBroken:
        if fd >= 0:
            os.close(fd)
        raise
    return message, fd


def _receive_head(sock: socket.socket) -> tuple[bytes, list[int], int, Any]:
    try:
        return socket.recv_fds(sock, _LENGTH.size, 4)
    except (ConnectionError, TimeoutError) as error:
        raise ChannelBroken(str(error)) from error


def _receive_exactly(sock: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = sock.recv(min(count - len(parts), 1 << 20))
        except (ConnectionError, TimeoutError) as error:
            raise ChannelBroken(str(error)) from error
        if not part:
            raise ChannelBroken("the channel was closed in the middle of a message")
        parts += part
    return bytes(parts)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ChannelBroken(f"a message that is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ChannelBroken("a message that is not a JSON object")
    return message


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _write(array: npt.NDArray[Any]) -> int:
    fd = os.memfd_create("acreage-udf", os.MFD_CLOEXEC)
    try:
        flat = _bytes(np.ascontiguousarray(array))
        done = 0
        while done < len(flat):
            done += os.write(fd, flat[done : done + _CHUNK])
    except BaseException:
        os.close(fd)
        raise
    return fd


def _description(message: dict[str, Any], kinds: str) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    try:
        dtype = np.dtype(message["array"]["dtype"])
        shape = tuple(int(n) for n in message["array"]["shape"])
    except (KeyError, TypeError, ValueError, OverflowError, SyntaxError) as error:
        raise ChannelBroken(f"an array without a usable description: {error!r}") from None
    if (
        dtype.kind not in kinds
        or dtype.itemsize > 8
        or len(shape) > _MAX_DIMENSIONS
        or any(n < 0 for n in shape)
    ):
        raise ChannelBroken(f"an array of dtype {dtype} and shape {shape}")
    nbytes = dtype.itemsize
    for n in shape:
        nbytes *= n
    return dtype, shape, nbytes


def map_array(message: dict[str, Any], fd: int, kinds: str = "biuf") -> npt.NDArray[Any]:
    """The array of a message over its memory file, without a copy; what is written into it stays private.

    For the worker, which trusts its runner: the file must not shrink while the array is used.
    """
    dtype, shape, nbytes = _description(message, kinds)
    if nbytes == 0:
        return np.empty(shape, dtype)
    memory = mmap.mmap(fd, nbytes, access=mmap.ACCESS_COPY)
    return np.frombuffer(memory, dtype).reshape(shape)


def copy_array(message: dict[str, Any], fd: int, kinds: str = "biuf") -> npt.NDArray[Any]:
    """The array of a message, copied out of its memory file.

    For the runner, which must not trust a worker: a file that is shorter than it says is an error here,
    whereas a mapping of it would kill the process that touches it.

    Raises:
        ChannelBroken: no descriptor, a description that is not one, or a file of another size.
    """
    dtype, shape, nbytes = _description(message, kinds)
    if fd < 0 or os.fstat(fd).st_size != nbytes:
        raise ChannelBroken("an array whose memory is not of the size that it says")
    array = np.empty(shape, dtype)
    flat = _bytes(array)
    done = 0
    while done < nbytes:
        try:
            got = os.preadv(fd, [flat[done : done + _CHUNK]], done)
        except OSError as error:
            raise ChannelBroken(f"an array whose memory cannot be read: {error}") from None
        if got == 0:
            raise ChannelBroken("an array whose memory shrank while it was read")
        done += got
    return array
