"""CRC-32C (Castagnoli), with which TFRecord files protect their records, fast enough in numpy for whole images."""

from __future__ import annotations

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78  # of RFC 3720, its bits reversed
ALL_ONES = 0xFFFFFFFF
MASK = 0xA282EAD8
MAX_LANES = 4096


def masked_crc32c(data: bytes) -> int:
    """Returns the CRC-32C of `data` as TFRecord files store it: turned by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK) & ALL_ONES


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of `data`.

    The bytes are cut into parts of one length, which are worked on side by side, a byte of each at a time. A remainder
    is linear, so each part's is moved along over the bytes that follow it, and all are added; so is that of the ones
    with which the register starts. Zeros in front of the first part change nothing.
    """
    lanes = 1
    while lanes < MAX_LANES and 4 * lanes * lanes < len(data):
        lanes *= 2
    length = -(-len(data) // lanes)
    parts = np.zeros(lanes * length, np.uint8)
    parts[lanes * length - len(data) :] = np.frombuffer(data, np.uint8)
    table, register = _byte_table(), np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(parts.reshape(lanes, length).T):
        register = table[(register ^ column) & 0xFF] ^ (register >> 8)
    shift = _zero_bytes(length)
    while len(register) > 1:
        register = _apply(shift, register[::2]) ^ register[1::2]
        shift = _apply(shift, shift)
    start = _apply(_zero_bytes(len(data)), np.array([ALL_ONES], np.uint32))
    return int(register[0] ^ start[0]) ^ ALL_ONES


@functools.cache
def _byte_table() -> np.ndarray:
    """[256] uint32: the remainder of each byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return table


def _zero_bytes(count: int) -> np.ndarray:
    """[32] uint32: what `count` bytes of zeros make of each single bit of the register."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result, power = bits, _byte_table()[bits & 0xFF] ^ (bits >> 8)
    while count:
        if count & 1:
            result = _apply(power, result)
        power, count = _apply(power, power), count >> 1
    return result


def _apply(operator: np.ndarray, registers: np.ndarray) -> np.ndarray:
    """[n] uint32: a linear operator [32], given by what it makes of each bit, on registers [n]."""
    is_set = registers[:, None] >> np.arange(32, dtype=np.uint32) & 1
    return np.bitwise_xor.reduce(np.where(is_set, operator, np.uint32(0)), axis=1)
