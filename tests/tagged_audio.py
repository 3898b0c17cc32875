"""Short audio files of every format that gets comments, with random tags that are not ours.

`FORMATS` maps a name to a function that takes a generator of random numbers and returns a file and the pieces of it
that must survive byte for byte.
"""

import io
import random
import struct
import tempfile
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile
from mutagen.flac import Picture
from mutagen.ogg import OggPage

Tagged = tuple[bytes, list[bytes]]
"""A file, and pieces of it."""


def noise(seconds: float = 0.2) -> np.ndarray:
    """Quiet noise at 44.1 kHz, (samples,) float32."""
    return (np.random.default_rng(0).standard_normal(int(44_100 * seconds)) * 0.1).astype(np.float32)


@cache
def encoded(container: str, codec: str, suffix: str, *options: tuple[str, str]) -> bytes:
    """Encode noise with PyAV."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"noise.{suffix}"
        with av.open(str(path), "w", format=container, options=dict(options)) as output:
            stream = output.add_stream(codec, rate=44_100, layout="mono")
            stream.bit_rate = 64_000
            stream.codec_context.open()
            frame = av.AudioFrame.from_ndarray(noise()[None], format="fltp", layout="mono")
            frame.sample_rate = 44_100
            resampler = av.AudioResampler(
                format=stream.format.name, layout="mono", rate=44_100, frame_size=stream.frame_size or 4096
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
        return path.read_bytes()


@cache
def written(container: str, subtype: str | None = None) -> bytes:
    """Encode noise with soundfile."""
    file = io.BytesIO()
    samples, rate = (noise(), 44_100) if subtype != "OPUS" else (noise()[:4800], 48_000)
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def id3_tag(rng: random.Random, major: int) -> Tagged:
    """Build a tag of random frames, with padding; version 2.3 sometimes with unsynchronisation."""
    names = {2: (b"TT2", b"PIC", b"COM", b"UFI", b"XYZ"), 3: (b"TIT2", b"TYER", b"APIC", b"PRIV", b"COMM", b"RVAD")}
    known = {2: names[2], 3: names[3], 4: (b"TIT2", b"TDRC", b"PRIV", b"COMM", b"TXXX", b"ASPI")}[major]
    frames = []
    for name in rng.choices(known, k=rng.randrange(1, 6)):
        data = b"\0eng\0by hand" if name in (b"COM", b"COMM") else rng.randbytes(rng.randrange(1, 400))
        data = b"\0other\0" + data if name == b"TXXX" else data
        data = b"\0" + data.hex().encode() if name[:1] == b"T" and name != b"TXXX" else data
        if major == 2:
            frames.append(name + len(data).to_bytes(3, "big") + data)
        else:
            size = _syncsafe(len(data)) if major == 4 else len(data).to_bytes(4, "big")
            frames.append(name + size + bytes([rng.choice((0, 0x40)), 0]) + data)
    body = b"".join(frames)
    flags = 0
    if major == 3 and rng.random() < 0.3:
        flags, body = 0x80, _unsynchronised(body)
    if major == 3 and not flags and rng.random() < 0.3:
        flags, body = 0x40, (6).to_bytes(4, "big") + bytes(6) + body
    body += bytes(rng.choice((0, 10, 2000)))
    tag = b"ID3" + bytes([major, 0, flags]) + _syncsafe(len(body)) + body
    return tag, [_unsynchronised(frame) if flags & 0x80 else frame for frame in frames]


def _mp3(major: int) -> Callable[[random.Random], Tagged]:
    def build(rng: random.Random) -> Tagged:
        audio = encoded("mp3", "libmp3lame", "mp3", ("id3v2_version", "0"), ("write_id3v1", "0"))
        tag, frames = id3_tag(rng, major)
        end = _ape_tag(rng)[0] if rng.random() < 0.5 else b""
        end += b"TAG" + rng.randbytes(125) if rng.random() < 0.7 else b""
        return tag + audio + end, [*frames, audio + end]

    return build


def _tta(rng: random.Random) -> Tagged:
    audio = encoded("tta", "tta", "tta")
    audio = audio[: audio.rfind(b"APETAGEX", 0, len(audio) - 32)] if b"APETAGEX" in audio else audio
    tag, frames = id3_tag(rng, rng.choice((3, 4)))
    return tag + audio, [*frames, audio]


def _flac(rng: random.Random) -> Tagged:
    base = written("FLAC")
    blocks, start, is_last = [], 4, False
    while not is_last:
        size = int.from_bytes(base[start + 1 : start + 4], "big")
        is_last = bool(base[start] & 0x80)
        blocks.append((base[start] & 0x7F, base[start + 4 : start + 4 + size]))
        start += 4 + size
    picture = Picture()
    picture.data = rng.randbytes(300)
    foreign = [_comment(rng) for _ in range(rng.randrange(5))]
    extra = [(6, picture.write()), (2, b"test" + rng.randbytes(50)), (4, _vorbis(foreign))]
    extra += [(1, bytes(rng.choice((0, 40, 3000))))] if rng.random() < 0.7 else []
    rng.shuffle(extra)
    blocks = [block for block in blocks if block[0] not in (1, 4)] + extra
    out = b"fLaC"
    for number, (kind, data) in enumerate(blocks):
        last = 0x80 if number == len(blocks) - 1 else 0
        out += bytes([kind | last]) + len(data).to_bytes(3, "big") + data
    kept = [data for kind, data in blocks if kind not in (1, 4)]
    return out + base[start:], [*foreign, *kept, base[start:]]


def _ogg(container: str, subtype: str) -> Callable[[random.Random], Tagged]:
    def build(rng: random.Random) -> Tagged:
        file = io.BytesIO(written(container, subtype))
        prefix = {"VORBIS": b"\x03vorbis", "OPUS": b"OpusTags"}[subtype]
        OggPage(file)
        pages = [OggPage(file)]
        while not (pages[-1].complete or len(pages[-1].packets) > 1):
            pages.append(OggPage(file))
        packets = OggPage.to_packets(pages, strict=False)
        foreign = [_comment(rng, rng.choice((20, 9000))) for _ in range(rng.randrange(5))]
        end = b"\x01" + (rng.randbytes(30) if subtype == "OPUS" else b"")
        packets[0] = prefix + _vorbis(foreign) + end
        OggPage.replace(file, pages, OggPage.from_packets(packets, pages[0].sequence))
        return file.getvalue(), [comment for comment in foreign if len(comment) < 200]

    return build


def _made_ogg(kind: str) -> Callable[[random.Random], Tagged]:
    """Build an Ogg file around packets that are no audio."""

    def build(rng: random.Random) -> Tagged:
        foreign = [_comment(rng) for _ in range(rng.randrange(5))]
        comments = _vorbis(foreign)
        if kind == "speex":
            head = (
                b"Speex   "
                + b"1.2".ljust(20, b"\0")
                + struct.pack("<13i", 1, 80, 16000, 0, 4, 1, -1, 320, 0, 1, 0, 0, 0)
            )
        elif kind == "theora":
            head = b"\x80theora\x03\x02\x01" + bytes([0, 1, 0, 1]) + bytes(31)
            head = head[:22] + struct.pack(">II", 25, 1) + head[30:]
            comments = b"\x81theora" + comments
        else:
            head = b"\x7fFLAC\x01\x00\x00\x01fLaC\x00\x00\x00\x22" + written("FLAC")[8:42]
            comments = b"\x84" + len(comments).to_bytes(3, "big") + comments
        audio = [rng.randbytes(500) for _ in range(3)]
        pages = OggPage.from_packets([head]) + OggPage.from_packets([comments], 1)
        pages += OggPage.from_packets(audio, len(pages))
        for page in pages:
            page.serial = 7
        pages[0].first, pages[-1].last, pages[-1].position = True, True, 16_000
        return b"".join(page.write() for page in pages), [*foreign, *audio]

    return build


def _mp4(*options: tuple[str, str]) -> Callable[[random.Random], Tagged]:
    def build(rng: random.Random) -> Tagged:
        base = encoded("ipod", "aac", "m4a", *options)
        items = [
            _atom(b"\xa9nam", _data(1, rng.randbytes(8).hex().encode())),
            _atom(b"tmpo", _data(21, rng.randbytes(1))),
            _atom(b"covr", _data(13, rng.randbytes(200)) + _data(14, rng.randbytes(50))),
            _atom(b"zzzz", rng.randbytes(30)),
            _atom(b"----", _atom(b"mean", bytes(4) + b"com.apple.iTunes") + _atom(b"name", bytes(4) + b"iTunNORM")
                  + _data(1, b" 0000")),
        ]  # fmt: skip
        rng.shuffle(items)
        if rng.random() < 0.4:
            items.append(_atom(b"\xa9cmt", _data(1, b"by hand")))
        meta = bytes(4) + _atom(b"hdlr", bytes(8) + b"mdirappl" + bytes(9)) + _atom(b"ilst", b"".join(items))
        meta += _atom(b"free", bytes(rng.choice((8, 2000)))) if rng.random() < 0.7 else b""
        udta = _atom(b"udta", _atom(b"Xtra", rng.randbytes(20)) + _atom(b"meta", meta))
        return _with_udta(base, udta), [*items, base[base.find(b"mdat") : base.find(b"mdat") + 1000]]

    return build


def _with_udta(base: bytes, udta: bytes) -> bytes:
    """Replace `udta` in `moov`, and move the offsets of the chunks where `moov` stands first."""
    start = base.find(b"moov") - 4
    size = int.from_bytes(base[start : start + 4], "big")
    moov = base[start + 8 : start + size]
    at = moov.find(b"udta") - 4
    old = int.from_bytes(moov[at : at + 4], "big") if at >= 0 else 0
    moov = (moov[:at] + moov[at + old :] if at >= 0 else moov) + udta
    growth = len(moov) + 8 - size
    if base.find(b"mdat") > start:
        table = moov.find(b"stco") + 8
        count = int.from_bytes(moov[table : table + 4], "big")
        offsets = struct.unpack(f">{count}I", moov[table + 4 : table + 4 + 4 * count])
        new = struct.pack(f">{count}I", *(offset + growth for offset in offsets))
        moov = moov[: table + 4] + new + moov[table + 4 + 4 * count :]
    return base[:start] + _atom(b"moov", moov) + base[start + size :]


def _asf(rng: random.Random) -> Tagged:
    base = encoded("asf", "wmav2", "wma")
    length, count = int.from_bytes(base[16:24], "little"), int.from_bytes(base[24:28], "little")
    attributes = []
    for name in rng.sample(["WM/Genre", "WM/Picture", "ISRC", "WM/Year", "Zoë"], rng.randrange(1, 5)):
        title, data = (name + "\0").encode("utf-16-le"), rng.randbytes(rng.randrange(2, 60))
        attributes.append(struct.pack("<H", len(title)) + title + struct.pack("<HH", 1, len(data)) + data)
    extended = struct.pack("<H", len(attributes)) + b"".join(attributes)
    texts = [
        (text + "\0").encode("utf-16-le") if text else b"" for text in ("T", "A", "", rng.choice(("", "by hand")), "")
    ]
    content = b"".join(len(text).to_bytes(2, "little") for text in texts) + b"".join(texts)
    unknown = rng.randbytes(16), rng.randbytes(40)
    objects = [
        (uuid.UUID("d2d0a440-e307-11d2-97f0-00a0c95ea850").bytes_le, extended),
        (uuid.UUID("75b22633-668e-11cf-a6d9-00aa0062ce6c").bytes_le, content),
        unknown,
    ]
    rng.shuffle(objects)
    own = {name for name, _ in objects}
    start, kept = 30, []
    while start < length:
        size = int.from_bytes(base[start + 16 : start + 24], "little")
        if base[start : start + 16] not in own:
            kept.append(base[start : start + size])
        start += size
    kept += [name + (24 + len(data)).to_bytes(8, "little") + data for name, data in objects]
    body = b"".join(kept)
    header = base[:16] + (30 + len(body)).to_bytes(8, "little") + len(kept).to_bytes(4, "little") + base[28:30]
    assert count
    return header + body + base[length:], [*attributes, unknown[1], base[length:]]


def _chunked(container: str) -> Callable[[random.Random], Tagged]:
    """Build a WAV or AIFF file with chunks of other programs and sometimes an ID3 tag."""

    def build(rng: random.Random) -> Tagged:
        is_wav = container == "WAV"
        order = "little" if is_wav else "big"
        base = written(container)
        names = (b"bext", b"iXML", b"LIST", b"cue ") if is_wav else (b"NAME", b"ANNO", b"APPL")
        chunks, pieces = b"", []
        for name in rng.sample(names, rng.randrange(1, len(names))):
            data = rng.randbytes(rng.randrange(4, 700))
            data = (
                b"INFOICMT" + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) if name == b"LIST" else data
            )
            pieces.append(name + len(data).to_bytes(4, order) + data)
            chunks += pieces[-1] + bytes(len(data) % 2)
        if rng.random() < 0.6:
            tag, frames = id3_tag(rng, rng.choice((3, 4)))
            tag_chunk = (b"id3 " if is_wav else b"ID3 ") + len(tag).to_bytes(4, order) + tag + bytes(len(tag) % 2)
            chunks = chunks + tag_chunk if rng.random() < 0.5 else tag_chunk + chunks
            pieces += frames
        content = base[8:] + chunks
        return base[:4] + len(content).to_bytes(4, order) + content, [base[12:], *pieces]

    return build


def _dsf(rng: random.Random) -> Tagged:
    tag, frames = id3_tag(rng, rng.choice((3, 4))) if rng.random() < 0.8 else (b"", [])
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 2, 2, 2_822_400, 1, 8192, 4096, 0)
    data = b"data" + (12 + 8192).to_bytes(8, "little") + rng.randbytes(8192)
    end = 28 + len(fmt) + len(data)
    header = b"DSD " + struct.pack("<QQQ", 28, end + len(tag), end if tag else 0)
    return header + fmt + data + tag, [*frames, fmt + data]


def _dsdiff(rng: random.Random) -> Tagged:
    def chunk(name: bytes, data: bytes) -> bytes:
        return name + len(data).to_bytes(8, "big") + data + bytes(len(data) % 2)

    settings = (
        chunk(b"FS  ", (2_822_400).to_bytes(4, "big"))
        + chunk(b"CHNL", b"\0\x01C   ")
        + chunk(b"CMPR", b"DSD \x0enot compressed\0")
    )
    kept = [chunk(b"FVER", b"\x01\x05\0\0"), chunk(b"PROP", b"SND " + settings), chunk(b"DSD ", rng.randbytes(501))]
    kept.append(chunk(b"DIIN", chunk(b"DIAR", (3).to_bytes(4, "big") + b"abc")))
    tag, frames = id3_tag(rng, 3) if rng.random() < 0.6 else (b"", [])
    body = b"DSD " + b"".join(kept) + (chunk(b"ID3 ", tag) if tag else b"")
    return b"FRM8" + len(body).to_bytes(8, "big") + body, [*frames, *kept]


def _ape(head: bytes) -> Callable[[random.Random], Tagged]:
    def build(rng: random.Random) -> Tagged:
        audio = head + rng.randbytes(400)
        tag, items = _ape_tag(rng) if rng.random() < 0.8 else (b"", [])
        end = b"TAG" + rng.randbytes(125) if rng.random() < 0.5 else b""
        return audio + tag + end, [audio, *items, *([end] if end else [])]

    return build


def _wavpack(rng: random.Random) -> Tagged:
    base = encoded("wv", "wavpack", "wv")
    base = base[: base.find(b"APETAGEX")] if b"APETAGEX" in base else base
    tag, items = _ape_tag(rng)
    return base + tag, [base, *items]


def _ape_tag(rng: random.Random) -> Tagged:
    items = []
    for name in rng.sample([b"Title", b"Cover Art (front)", b"REPLAYGAIN_TRACK_GAIN", b"Comment"], rng.randrange(1, 4)):
        data, flags = rng.randbytes(rng.randrange(1, 90)).hex().encode(), rng.choice((0, 1, 2))
        items.append(len(data).to_bytes(4, "little") + flags.to_bytes(4, "little") + name + b"\0" + data)
    body = b"".join(items)
    start = b"APETAGEX" + struct.pack("<III", 2000, len(body) + 32, len(items))
    has_header = rng.random() < 0.7
    header = start + struct.pack("<I", 0xA0000000) + bytes(8) if has_header else b""
    return header + body + start + struct.pack("<I", 0x80000000 if has_header else 0) + bytes(8), items


def _comment(rng: random.Random, size: int = 20) -> bytes:
    """A Vorbis comment with its length; sometimes not UTF-8."""
    name = rng.choice((b"TITLE", b"comment", b"Artist", b"X-\x7dy", b"METADATA_BLOCK_PICTURES"))
    value = rng.choice((b"caf\xe9 ", b"Zo\xc3\xab ", b"")) + rng.randbytes(size).hex().encode()
    return (len(name) + 1 + len(value)).to_bytes(4, "little") + name + b"=" + value


def _vorbis(comments: list[bytes]) -> bytes:
    return (6).to_bytes(4, "little") + b"vendor" + len(comments).to_bytes(4, "little") + b"".join(comments)


def _atom(name: bytes, data: bytes) -> bytes:
    return (len(data) + 8).to_bytes(4, "big") + name + data


def _data(kind: int, value: bytes) -> bytes:
    return _atom(b"data", kind.to_bytes(4, "big") + bytes(4) + value)


def _syncsafe(value: int) -> bytes:
    return bytes(value >> shift & 0x7F for shift in (21, 14, 7, 0))


def _unsynchronised(data: bytes) -> bytes:
    out = b""
    for index, byte in enumerate(data):
        following = data[index + 1] if index + 1 < len(data) else 0
        out += bytes([byte]) + (b"\0" if byte == 0xFF and (following >= 0xE0 or following == 0) else b"")
    return out


_TAK = b"tBaK\x01\x0d\0\0" + bytes(10) + b"\0\0\0" + b"\0\0\0\0"

FORMATS: dict[str, Callable[[random.Random], Tagged]] = {
    "v22.mp3": _mp3(2),
    "v23.mp3": _mp3(3),
    "v24.mp3": _mp3(4),
    "tta": _tta,
    "flac": _flac,
    "ogg": _ogg("OGG", "VORBIS"),
    "opus": _ogg("OGG", "OPUS"),
    "spx": _made_ogg("speex"),
    "ogv": _made_ogg("theora"),
    "oga": _made_ogg("flac"),
    "m4a": _mp4(),
    "fast.m4a": _mp4(("movflags", "faststart")),
    "wma": _asf,
    "wav": _chunked("WAV"),
    "aiff": _chunked("AIFF"),
    "dsf": _dsf,
    "dff": _dsdiff,
    "ape": _ape(b"MAC " + struct.pack("<H", 3990) + bytes(50) + struct.pack("<IIIHHI", 73728, 100, 2, 16, 2, 44_100)),
    "mpc": _ape(b"MP+\x07" + struct.pack("<I", 100) + bytes(30)),
    "ofr": _ape(b"OFR " + struct.pack("<IIHBBIH", 15, 1000, 0, 2, 1, 44_100, 16) + bytes(60)),
    "tak": _ape(_TAK),
    "wv": _wavpack,
}  # fmt: skip
"""Formats by suffix; a part before the last dot is a variant."""
