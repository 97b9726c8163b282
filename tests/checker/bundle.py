"""The bytes of a bundle: FORMAT.md section 6. One zstd frame, one exact tar stream."""

import subprocess

import documents
from keys import sha256
from refusal import malformed, need

WINDOW = 2**23


def _integer(data, at, length):
    need(len(data) >= at + length, 90, "malformed", "a frame that ends early")
    return int.from_bytes(data[at : at + length], "little")


def check_frame(data, unpacked_size):
    """RFC 8878: exactly one frame, of the properties that section 6 asks for, walked block by block."""
    need(_integer(data, 0, 4) == 0xFD2FB528, 90, "malformed", "magic number")
    descriptor = _integer(data, 4, 1)
    need(descriptor & 0b1000 == 0, 90, "malformed", "the reserved bit")
    need(descriptor & 0b0100, 90, "malformed", "no checksum")
    need(descriptor & 0b0011 == 0, 90, "malformed", "a dictionary")
    single = bool(descriptor & 0b0010_0000)
    size_flag = descriptor >> 6
    need(single or size_flag, 90, "malformed", "no content size")
    at = 5
    window = None
    if not single:
        byte = _integer(data, at, 1)
        base = 1 << (10 + (byte >> 3))
        window = base + (base >> 3) * (byte & 7)
        at += 1
    length = (1, 2, 4, 8)[size_flag]
    size = _integer(data, at, length) + (256 if length == 2 else 0)
    at += length
    need((size if window is None else window) <= WINDOW, 90, "malformed", "window")
    need(size == unpacked_size, 90, "malformed", "content size")
    last = False
    while not last:
        header = _integer(data, at, 3)
        at += 3
        last, kind, block = bool(header & 1), header >> 1 & 3, header >> 3
        need(kind != 3, 90, "malformed", "a reserved block")
        at += 1 if kind == 1 else block
    need(at + 4 == len(data), 90, "malformed", "a frame that ends early, or more bytes after it")


def unpack_frame(data, unpacked_size):
    """The content, of which never more is read than is promised."""
    check_frame(data, unpacked_size)
    process = subprocess.Popen(
        ["zstd", "--decompress", "--stdout", "--quiet", "--no-progress", f"--memory={WINDOW}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    if len(data) > 60000:
        raise malformed("the bundles of the vectors are small")
    try:
        process.stdin.write(data)
        process.stdin.close()
    except BrokenPipeError:
        pass
    content = process.stdout.read(unpacked_size + 1)
    process.stdout.close()
    good = process.wait() == 0
    need(good and len(content) == unpacked_size, 90, "malformed", "content")
    return content


def header(path, size, mode, mtime):
    """The one header that a member may have."""
    block = bytearray(512)
    put = lambda at, field: block.__setitem__(slice(at, at + len(field)), field)
    put(0, path.encode())
    put(100, b"%07o\0" % int(mode, 8))
    put(108, b"0000000\0" * 2)
    put(124, b"%011o\0" % size)
    put(136, b"%011o\0" % mtime)
    put(148, b" " * 8)
    put(156, b"0")
    put(257, b"ustar\x0000")
    put(329, b"0000000\0" * 2)
    put(148, b"%07o\0" % sum(block))
    return bytes(block)


def padding(size):
    return -size % 512


class _Stream:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at : self.at + count]
        need(len(piece) == count, 90, "malformed", "a stream that ends early")
        self.at += count
        return piece

    def zeros(self, count):
        need(not any(self.take(count)), 90, "malformed", "bytes that are not zero")


def check_group(manifest, group):
    """Step 14 against the group file."""
    entry = group["bundle"]
    need(manifest["environment"] == group["environment"], 96, "wrong-environment")
    need(manifest["target"] == entry["target"], 96, "wrong-target")
    have = (manifest["product"], manifest["release"], manifest["wire_epoch"], manifest["source"]["commit"])
    need(have == (entry["product"], entry["release"], entry["wire_epoch"], entry["source_commit"]), 96, "wrong-product")
    ledger = {flag["id"]: flag for flag in group["ledger"]}
    for flag in manifest["flags"]:
        need(ledger.get(flag["id"]) == flag | {"state": "active"}, 79, "flag-ledger", f"flag {flag['id']}")


def unpack(data, group):
    """Every byte of a bundle against the group file. Gives the manifest."""
    entry = group["bundle"]
    stream = _Stream(unpack_frame(data, entry["unpacked_size"]))
    first = stream.take(512)
    digits = first[124:135]
    need(all(48 <= digit <= 55 for digit in digits) and first[135] == 0, 90, "malformed", "size of manifest.json")
    size = int(digits, 8)
    need(size <= documents.LIMITS["manifest"], 90, "limit", "manifest.json")
    raw = stream.take(size)
    stream.zeros(padding(size))
    need(sha256(raw) == entry["manifest_sha256"], 81, "digest", "manifest.json")
    manifest = documents.read("manifest", raw)
    check_group(manifest, group)
    members = [512 + file["size"] + padding(file["size"]) for file in manifest["files"]]
    total = 512 + size + padding(size) + sum(members) + 1024
    need(total == entry["unpacked_size"], 81, "size", "the stream is not as long as its manifest says")
    mtime = documents.seconds(manifest["source"]["time"])
    need(first == header("manifest.json", size, "0644", mtime), 90, "malformed", "header of manifest.json")
    for file in manifest["files"]:
        want = header(file["path"], file["size"], file["mode"], mtime)
        need(stream.take(512) == want, 90, "malformed", f"header of {file['path']}")
        need(sha256(stream.take(file["size"])) == file["sha256"], 81, "digest", file["path"])
        stream.zeros(padding(file["size"]))
    stream.zeros(1024)
    return manifest
