"""Makes the archives of test_archive: make_archives.py FOLDER. What the standard library cannot write lies in data/."""

from __future__ import annotations

import io
import lzma
import random
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

WHEN = 1_600_000_000


def tar_entry(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mtime = WHEN
    info.mode = 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info


class Tar:
    """A tar in memory."""

    def __init__(self, mode: str = "w", form: int = tarfile.PAX_FORMAT) -> None:
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode=mode, format=form, encoding="utf-8", errors="surrogateescape")

    def file(self, name: str, data: bytes, **fields: object) -> Tar:
        self.tar.addfile(tar_entry(name, size=len(data), **fields), io.BytesIO(data))
        return self

    def folder(self, name: str, mode: int = 0o755) -> Tar:
        return self.other(name, tarfile.DIRTYPE, mode=mode)

    def link(self, name: str, target: str) -> Tar:
        return self.other(name, tarfile.SYMTYPE, linkname=target)

    def hard(self, name: str, target: str) -> Tar:
        return self.other(name, tarfile.LNKTYPE, linkname=target)

    def other(self, name: str, kind: bytes, **fields: object) -> Tar:
        self.tar.addfile(tar_entry(name, type=kind, **fields))
        return self

    def done(self) -> bytes:
        self.tar.close()
        return self.bytes.getvalue()


class Zip:
    """A zip in memory, written byte by byte, so that it may be wrong."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.central = bytearray()
        self.count = 0

    def add(self, name: bytes | str, data: bytes = b"", *, mode: int = 0o100644, flags: int = 0, method: int = 0,
            crc: int | None = None, size: int | None = None, offset: int | None = None) -> Zip:
        if isinstance(name, str):
            flags |= 0 if name.isascii() else 0x800
            name = name.encode()
        packed = data
        if method == 8:
            squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = squeeze.compress(data) + squeeze.flush()
        common = struct.pack("<HHHHIIIHH", flags, method, 0x6000, 0x512d, zlib.crc32(data) if crc is None else crc,
                             len(packed), len(data) if size is None else size, len(name), 0)
        self.central += struct.pack("<IHH", 0x02014b50, 0x031e, 20) + common
        self.central += struct.pack("<HHHII", 0, 0, 0, mode << 16, len(self.out) if offset is None else offset) + name
        self.count += 1
        if offset is None:
            self.out += struct.pack("<IH", 0x04034b50, 20) + common + name + packed
        return self

    def done(self) -> bytes:
        end = struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, self.count, self.count, len(self.central), len(self.out), 0)
        return bytes(self.out + self.central + end)


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def damage(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xff]) + data[at + 1:]


def tars(out: dict[str, bytes]) -> None:
    def plain(tar: Tar) -> bytes:
        return tar.folder("d", 0o700).file("d/run.sh", b"go", mode=0o755).file("a.txt", b"hello").done()

    out["plain.tar"] = plain(Tar())
    for suffix in ("gz", "bz2", "xz"):
        out[f"plain.tar.{suffix}"] = plain(Tar(f"w:{suffix}"))
    out["gnu.tar"] = plain(Tar(form=tarfile.GNU_FORMAT))
    out["empty.tar"] = Tar().done()
    out["modes.tar"] = (Tar().file("setid", b"x", mode=0o6755).file("sealed", b"x", mode=0o000)
                        .folder("closed", 0o000).file("closed/in", b"x").file("all", b"x", mode=0o777).done())
    out["names.tar"] = (Tar(form=tarfile.GNU_FORMAT).file("./dot/./a", b"1").file("two//slashes", b"2")
                        .file("gr\u00fc\u00df\u4e2d.txt", b"3").file("new\nline", b"4").file("back\\slash", b"5")
                        .file("C:/x", b"6").file("bad\udcff", b"7").folder("./").done())
    out["unicode-pax.tar"] = Tar().file("\u4e2d\u6587/" + "\u00e9" * 60, b"x").done()
    out["leaving.tar"] = (Tar().file("/etc/passwd", b"x").file("../up", b"x").file("a/../../up", b"x")
                          .file("a/..", b"x").file("good", b"x").done())
    out["empty-name.tar"] = Tar().file("", b"x").file("good", b"x").done()
    out["long.tar"] = (Tar().file("n" * 256, b"x").file("n" * 255, b"x").file("m" * 256 + "/x", b"x").file("/".join(["d" * 200] * 25), b"x")
                       .file("good", b"x").done())
    out["self.tar"] = Tar().file(".", b"x").folder("./").file("good", b"x").done()
    out["taken.tar"] = (Tar().file("a", b"first").file("a", b"second").file("a/b", b"x").folder("a").folder("d")
                        .file("d", b"x").folder("d", 0o700).done())
    out["links.tar"] = (Tar().link("to", "d/x").file("d/x", b"x").link("d/up", "../to").link("d/e/up", "../../d/x")
                        .link("abs", "/etc/passwd").link("out", "../x").link("d/out", "../../x")
                        .link("d/deep", "e/../../../x").link("nothing", "missing").link("loop", "loop")
                        .link("back", "d/../to").link("here", ".").done())
    out["link-through.tar"] = (Tar().link("l", "d").folder("d").file("l/x", b"x").link("d/p", "..").link("e/f/q", "g/..")
                               .done())
    out["link-swap.tar"] = Tar().link("x", "/tmp").file("x", b"data").done()
    out["hard.tar"] = (Tar().file("a", b"text").hard("d/b", "a").hard("abs", "/etc/passwd").hard("up", "../../etc")
                       .link("s", "a").hard("sh", "s").hard("dir", "d").hard("none", "missing").hard("a", "a").done())
    out["devices.tar"] = (Tar().other("null", tarfile.CHRTYPE, devmajor=1, devminor=3).other("fifo", tarfile.FIFOTYPE)
                          .other("disk", tarfile.BLKTYPE, devmajor=8).file("good", b"x").done())
    out["times.tar"] = (Tar().file("then", b"x", pax_headers={"mtime": "1234567890.5"})
                        .file("wild", b"x", pax_headers={"mtime": "9000000000000000000"})
                        .file("before", b"x", pax_headers={"mtime": "-5"}).done())
    half = Tar().file("whole", b"w" * 1000).file("cut", b"c" * 100_000).done()
    out["cut.tar"] = half[:60_000]
    out["cut.tar.gz"] = Tar("w:gz").file("whole", b"w").file("cut", noise(200_000)).done()[:100_000]
    out["damaged-header.tar"] = damage(Tar().file("good", b"x").file("bad", b"y").file("after", b"z").done(), 1024 + 2)
    deep = Tar()
    deep.file("/".join(["d"] * 2000) + "/x", b"x")
    out["deep.tar"] = deep.done()
    out["quine.tar"] = Tar().file("in.zip", Zip().add("x", b"x").done()).file("in.tar", out["plain.tar"]).done()
    zeros = Tar("w:gz")
    zeros.tar.addfile(tar_entry("zeros", size=32 << 20), io.BytesIO(bytes(32 << 20)))
    out["bomb.tar.gz"] = zeros.done()
    refused = Tar("w:gz")
    refused.tar.addfile(tar_entry("../zeros", size=32 << 20), io.BytesIO(bytes(32 << 20)))
    out["bomb-refused.tar.gz"] = refused.done()
    out["nested.tar.gz.gz"] = zlib.compress(out["plain.tar.gz"], 9, 31)
    hole = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole",
            "GNU.sparse.realsize": str(1 << 60)}
    out["hole.tar"] = Tar().file("GNUSparseFile.0/hole", b"0\n".ljust(512, b"\0"), pax_headers=hole).done()
    many = Tar("w:gz")
    for i in range(2_000):
        many.file(f"d{i // 100}/f{i}", b"")
    out["many.tar.gz"] = many.done()
    folders = Tar("w:gz")
    for i in range(50):
        folders.file("/".join([f"{i}"] * 100) + "/x", b"")
    out["folders.tar.gz"] = folders.done()


def zips(out: dict[str, bytes]) -> None:
    def by_module(method: int) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", method) as z:
            z.writestr("d/", b"")
            z.writestr("d/a.txt", b"hello")
            z.writestr("\u00fc.txt", b"umlaut")
        return data.getvalue()

    for name, method in (("stored", 0), ("deflated", 8), ("bzip2", 12), ("lzma", 14)):
        out[f"{name}.zip"] = by_module(method)
    out["empty.zip"] = Zip().done()
    out["modes.zip"] = (Zip().add("run.sh", b"go", mode=0o100755).add("setid", b"x", mode=0o104755)
                        .add("dos", b"x", mode=0).done())
    out["names.zip"] = (Zip().add(b"\x81ber.txt", b"1").add("\u00fcber2".encode(), b"2").add("win\\dows\\x", b"3")
                        .add("..\\up", b"4").add("C:\\evil", b"5").add("\\root", b"6").add("/abs", b"7").add("mix\\ed/x", b"0")
                        .add("a/../../b", b"8").add("good", b"9").done())
    out["links.zip"] = (Zip().add("l", b"good", mode=0o120777).add("evil", b"/etc/passwd", mode=0o120777)
                        .add("good", b"x").done())
    out["fifo.zip"] = Zip().add("pipe", b"", mode=0o010644).add("good", b"x").done()
    out["crc.zip"] = Zip().add("bad", b"data", crc=1).add("good", b"x").done()
    out["inflated.zip"] = damage(Zip().add("bad", b"text" * 100, method=8).add("good", b"x").done(), 40)
    out["method.zip"] = Zip().add("odd", b"data", method=97).add("good", b"x").done()
    whole = Zip().add("one", b"1" * 100).add("two", noise(5000), method=8).done()
    out["cut.zip"] = whole[:1000]
    out["encrypted.zip"] = Zip().add("secret", b"0123456789abcdef", flags=1).add("good", b"x").done()
    out["taken.zip"] = Zip().add("a", b"first").add("a", b"second").add("a/b", b"x").done()
    out["liar.zip"] = Zip().add("liar", bytes(8 << 20), method=8, size=10).add("good", b"x").done()
    out["bomb.zip"] = Zip().add("zeros", bytes(32 << 20), method=8).done()
    overlap = Zip().add("0", bytes(1 << 20), method=8)
    for i in range(1, 200):
        overlap.add(f"{i}", bytes(1 << 20), method=8, offset=0)
    out["overlap.zip"] = overlap.done()
    out["prefixed.zip"] = b"#!/bin/sh\nexit\n" + by_module(8)


def others(out: dict[str, bytes]) -> None:
    here = Path(__file__).parent / "data"
    for path in here.iterdir():
        out[path.name] = path.read_bytes()
    for name in ("sparse.tar", "sparse-gnu.tar"):
        out[name] = lzma.decompress(out.pop(name + ".xz"))
    out["cut.7z"] = out["plain.7z"][:-20]
    out["damaged.7z"] = damage(out["plain.7z"], 36)
    out["nothing.zip"] = b""
    out["text.zip"] = b"This is no archive.\n" * 100
    out["gzip.tar.gz"] = zlib.compress(b"This is no archive.\n" * 100, 9, 31)
    out["mtree.tar"] = b"#mtree\n/set type=file\n./x type=link link=/etc/passwd\n"
    out["cpio.tar"] = b"070701" + b"0" * 104 + b"x\0"


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    out: dict[str, bytes] = {}
    tars(out)
    zips(out)
    others(out)
    for name, data in out.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
