"""Archives like WMT16's, but small, and a server of them on loopback, for the tests."""

from __future__ import annotations

import hashlib
import io
import random
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORDS = {
    "en": "the house of a small dog is not far from Mr. Smith 's green garden , he said".split(),
    "de": "das Haus von einem kleinen Hund ist nicht weit vom grünen Garten , sagte er".split(),
}


def sentences(count: int, language: str, seed: int = 1) -> list[str]:
    """Return random sentences of 3 to 12 words; the same number of words at the same place."""
    lengths, words = random.Random(seed), random.Random(f"{language}{seed}")
    return [
        " ".join(words.choices(WORDS[language], k=lengths.randint(3, 12))) + "."
        for _ in range(count)
    ]


def text(lines: list[str], end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


def sgm(lines: list[str]) -> bytes:
    segments = "".join(f'<seg id="{i}">{line}</seg>\n' for i, line in enumerate(lines, 1))
    return (
        f'<refset trglang="en">\n<doc docid="a">\n<p>\n{segments}</p>\n</doc>\n</refset>\n'.encode()
    )


def tgz(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """Return an archive of ``members``: contents, or headers of links and devices."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return stream.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = tarfile.SYMTYPE, target
    return header


def members(pairs: int = 40) -> dict[str, dict[str, bytes]]:
    """Return what is in the five archives; ``pairs`` of sentences in each training corpus."""
    corpora = {
        "de-en.tgz": "europarl-v7.de-en",
        "training-parallel-commoncrawl.tgz": "commoncrawl.de-en",
        "training-parallel-nc-v11.tgz": "training-parallel-nc-v11/news-commentary-v11.de-en",
    }
    result: dict[str, dict[str, bytes]] = {
        archive: {f"{name}.{side}": text(sentences(pairs, side, seed)) for side in ("de", "en")}
        for seed, (archive, name) in enumerate(corpora.items())
    }
    news = {year: sgm(sentences(5, "en", year)) for year in (2014, 2015, 2016)}
    result["dev.tgz"] = {
        "dev/newstest2013.en": text(sentences(5, "en", 2013)),
        "dev/newstest2014-deen-ref.en.sgm": news[2014],
        "dev/newstest2015-deen-ref.en.sgm": news[2015],
    }
    result["test.tgz"] = {"test/newstest2016-deen-ref.en.sgm": news[2016]}
    return result


def archives(content: Mapping[str, Mapping[str, bytes]] | None = None) -> dict[str, bytes]:
    return {name: tgz(held) for name, held in (content or members()).items()}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@dataclass
class Server:
    """What a server has, how it behaves, and what it was asked for."""

    files: dict[str, bytes]
    url: str = ""
    ranges: bool = True
    """Whether it knows Range; a server may ignore it."""
    tags: bool = True
    """Whether it names a validator."""
    break_after: dict[str, int] = field(default_factory=dict)
    """Bytes of a body after which the connection breaks, once for each file."""
    answers: dict[str, list[int]] = field(default_factory=dict)
    """Statuses to answer with before serving a file."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """The path and the Range header of each request."""

    def tag(self, name: str) -> str:
        return f'"{hashlib.md5(self.files[name]).hexdigest()}"'


@contextmanager
def serving(files: Mapping[str, bytes], **behaviour: object) -> Iterator[Server]:
    """Serve ``files`` by name on loopback while the block runs."""
    server = Server(dict(files), **behaviour)  # type: ignore[arg-type]
    handler = type("Handler", (_Handler,), {"data": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        server.url = f"http://127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        listener.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    data: Server

    def do_HEAD(self) -> None:
        name, data = self.path.lstrip("/"), self.data
        if name not in data.files:
            return self.answer(404, b"")
        headers = {"ETag": data.tag(name)} if data.tags else {}
        self.answer(200, data.files[name], headers, 0)

    def do_GET(self) -> None:
        name, data = self.path.lstrip("/"), self.data
        asked = self.headers.get("Range")
        data.asked.append((name, asked))
        if data.answers.get(name):
            return self.answer(data.answers[name].pop(0), b"busy")
        if name not in data.files:
            return self.answer(404, b"no such file")
        content, start = data.files[name], 0
        if asked and data.ranges and self.headers.get("If-Range") in (None, data.tag(name)):
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])  # type: ignore[index]
            if start >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers = {"ETag": data.tag(name)} if data.tags else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(
            206 if start else 200, content[start:], headers, data.break_after.pop(name, None)
        )

    def answer(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        stop: int | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:stop])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
