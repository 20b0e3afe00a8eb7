"""Reads a PNG of 8 bits per channel into rows of RGB, to judge a screenshot without an image library."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np


def read_png(path: Path) -> np.ndarray:
    """uint8, (height, width, 3). Follows the filters of the PNG specification, section 9."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, body, header = 8, b"", b""
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        content = data[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            body += content
        position += 12 + length
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    assert (depth, interlace) == (8, 0)
    channels = {2: 3, 6: 4}[colour]
    raw = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * channels)
    rows = np.zeros((height, width * channels), np.uint8)
    above = np.zeros(width * channels, np.uint8)
    for index in range(height):
        rows[index] = above = _unfiltered(int(raw[index, 0]), raw[index, 1:], above, channels)
    return rows.reshape(height, width, channels)[:, :, :3]


def _unfiltered(kind: int, line: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    if kind == 0:
        return line
    if kind == 2:
        return line + above
    if kind == 1:
        return np.cumsum(line.reshape(-1, step), axis=0, dtype=np.uint8).reshape(-1)
    found = bytearray(len(line))
    values, upper = line.tolist(), above.tolist()
    for index, value in enumerate(values):
        left = found[index - step] if index >= step else 0
        corner = upper[index - step] if index >= step else 0
        if kind == 3:
            found[index] = (value + (left + upper[index]) // 2) & 255
        else:
            found[index] = (value + _paeth(left, upper[index], corner)) & 255
    return np.frombuffer(bytes(found), np.uint8)


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    distances = (abs(guess - left), abs(guess - above), abs(guess - corner))
    return (left, above, corner)[distances.index(min(distances))]
