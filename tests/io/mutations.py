"""Ways to damage a file: bytes of any, the header of an MRC file, the structure of a STAR file."""

import gzip
import struct

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

TOKENS = rb"""nan inf -1 0 1e400 # " ' _ @ loop_ data_ 999999999999999999999 $ % \\""".split()
TOKENS += [b"", b"\n", b" ", b"\t", b"\r", b"\0", b"\xff", b"a b"]
WHOLE = [0, 1, 2, 3, 4, 6, 7, 8, 9, 12, 101, 255, 401, 1024, 65536, 100_000, 2**20, 2**24, 2**31 - 1]
WHOLE += [-1, -2, -1024, -(2**31)]
REAL = [0.0, -0.0, -1.0, 1e-45, 1e-30, 1e30, 3.4e38, float("nan"), float("inf"), -float("inf"), 1.5]
STAMPS = [b"\x44\x44\0\0", b"\x44\x41\0\0", b"\x11\x11\0\0", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x11\x44\0\0"]
NAMES = [b"MAP ", b"MAP\0", b"map ", b"MAPI", b"    ", b"\0\0\0\0", b"PAM ", b"\xff\xff\xff\xff"]


def pick(values, rng):
    return values[int(rng.integers(len(values)))]


def damage(raw, rng):
    """Cut, repeat, overwrite or insert somewhere."""
    raw = bytearray(raw)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(0, len(raw)))
        stop = min(len(raw), start + int(rng.geometric(0.1)))
        kind = rng.integers(0, 6)
        if kind == 0:
            del raw[start:]
        elif kind == 1:
            del raw[start:stop]
        elif kind == 2:
            raw[start:start] = raw[start:stop] * 2
        elif kind == 3:
            raw[start:stop] = rng.bytes(stop - start)
        elif kind == 4:
            raw[start:stop] = pick(TOKENS, rng)
        else:
            raw[start] ^= 1 << int(rng.integers(8))
        if not raw:
            break
    return bytes(raw)


def damage_header(raw, rng):
    """Give some fields of an MRC header other values: sizes, mode, axes, cell, stamp, name, extended header."""
    raw = bytearray(raw)
    order = pick("<<<>", rng)
    for _ in range(rng.integers(1, 4)):
        name = pick(["nx", "ny", "nz", "nx", "ny", "nz", "mode", "mode", "nsymbt", *HEADER_DTYPE.names], rng)
        kind, offset = HEADER_DTYPE.fields[name][:2]
        if name == "extra2":  # IMOD's mark and flags are in there
            raw[152:160] = struct.pack(f"{order}2i", 1146047817, pick(WHOLE, rng))
        elif name == "machst":
            raw[offset : offset + 4] = pick(STAMPS, rng)
        elif name == "map":
            raw[offset : offset + 4] = pick(NAMES, rng)
        elif kind.base.kind == "f" or kind.names:
            count = kind.itemsize // 4
            values = [pick(REAL, rng) for _ in range(count)]
            raw[offset : offset + kind.itemsize] = struct.pack(f"{order}{count}f", *values)
        else:
            raw[offset : offset + 4] = struct.pack(f"{order}i", pick(WHOLE, rng))
    if rng.integers(8) == 0:  # as long as before, but the other way round
        raw[:224] = np.frombuffer(bytes(raw[:224]), "<u4").byteswap().tobytes()
    if rng.integers(8) == 0:
        del raw[int(rng.integers(len(raw))) :]
    return bytes(raw) or b"\0"


def damage_inside_gzip(raw, rng):
    """Damage a gzipped MRC file before it is packed."""
    return gzip.compress(pick([damage, damage_header], rng)(gzip.decompress(raw), rng), 1)


# fmt: off
ENTRIES = ["nan", "inf", "-inf", "1e400", "-1e400", "9" * 400, "0x10", "1_0", "+-1", "1,5", "True", ""]
ENTRIES += ['""', "''", "'", '"', "$1", "[1]", "@", "1@", "@a"]
ENTRIES += ['"a b"', "'a b", "#", "a#b", "a;b", ";", "_x", "data_", "data_x", "loop_", "save_", "stop_"]
ENTRIES += ["0@stack.mrcs", "-1@stack.mrcs", "1.5@stack.mrcs", "5@stack.mrcs", "1@/", "1@.", "1@..", "1@" + "x" * 5000]
ENTRIES += ["1@\u00a0", "größe", "١@stack.mrcs", "１", "\u2028", "\u0085", "\u200b1", "\ufeff", "🧊"]
ENTRIES += ["0012", "1234567890123", "00@stack.mrcs", "1e300", "-1e300", "e\u0301", "\u202e1", "\x0b", "\x0c", "\x1f"]
LINES = ["", "data_", "data_particles", "data_optics", "data_x", "loop_", "_rlnX #1", "_rlnX 1", "_", "stop_"]
LINES += ["save_x", "# c", "#", ";", "data_x\n\nloop_\n_rlnImageName #1\n", "loop_\n_a\n_b\n1 2", "x" * 10_000]
LINES += ["\"'x " * 15_000, "'x' 'y" * 15_000, " ".join("1" * 2000), "\ufeffdata_x", "\t \t"]
# fmt: on
ENDS = ["\r\n", "\r", "\n\n", "\x0b", "\x0c", "\x85", "\u2028", " \n ", "\n#\n"]


def damage_structure(raw, rng):
    """Damage the structure of a STAR file: its entries, rows, columns, labels, blocks and line ends."""
    lines = raw.decode().split("\n")
    for _ in range(rng.integers(1, 4)):
        lines = pick(STRUCTURE, rng)(lines or [""], rng)
    return "\n".join(lines).encode() or b" "


def rows_of(lines):
    return [number for number, line in enumerate(lines) if len(line.split()) > 2] or [0]


def change_an_entry(lines, rng):
    number = pick(rows_of(lines), rng)
    entries = lines[number].split(" ")
    entries[rng.integers(len(entries))] = pick(ENTRIES, rng)
    return [*lines[:number], " ".join(entries), *lines[number + 1 :]]


def change_a_column(lines, rng):
    """Drop, double or overwrite one entry of every row of a table."""
    rows = rows_of(lines)
    width = len(lines[pick(rows, rng)].split())
    place, kind, entry = int(rng.integers(max(width, 1))), rng.integers(3), pick(ENTRIES, rng)
    lines = list(lines)
    for number in rows:
        entries = lines[number].split()
        if len(entries) == width:
            entries[place : place + 1] = [[], entries[place : place + 1] * 2, [entry]][kind]
            lines[number] = " ".join(entries)
    return lines


def change_a_label(lines, rng):
    labels = [number for number, line in enumerate(lines) if line.startswith("_")] or [0]
    number, other = pick(labels, rng), pick(labels, rng)
    new = [[], [lines[number]] * 2, [lines[other]], ["_rlnElse #1"], [lines[number][1:]], [f"_{pick(ENTRIES, rng)}"]]
    return [*lines[:number], *pick(new, rng), *lines[number + 1 :]]


def change_a_row(lines, rng):
    number = int(rng.integers(len(lines)))
    line = lines[number]
    other = pick(LINES, rng)
    new = [[], [line] * 2, [line[: len(line) // 2]], [line, other], [other], [line + " 1"], [line * 300]]
    return [*lines[:number], *pick(new, rng), *lines[number + 1 :]]


def cut(lines, rng):
    return lines[: int(rng.integers(1, len(lines) + 1))]


def repeat_a_part(lines, rng):
    start, stop = sorted(rng.integers(0, len(lines) + 1, 2).tolist())
    return [*lines[:stop], *lines[start:stop], *lines[stop:]]


def shuffle(lines, rng):
    start, stop = sorted(rng.integers(0, len(lines) + 1, 2).tolist())
    part = lines[start:stop]
    return [*lines[:start], *(part[number] for number in rng.permutation(len(part))), *lines[stop:]]


def change_line_ends(lines, rng):
    end, few = pick(ENDS, rng), rng.integers(2)
    text = "\n".join(lines)
    return (text.replace("\n", end, 1 + int(rng.integers(9))) if few else text.replace("\n", end)).split("\n")


STRUCTURE = [change_an_entry] * 4 + [change_a_column, change_a_label, change_a_row] * 2
STRUCTURE += [cut, repeat_a_part, shuffle, change_line_ends]
