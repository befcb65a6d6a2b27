"""Data in a bucket: real requests of the driver for ``s3://`` to a small server that answers as S3 does."""

from __future__ import annotations

import gzip
import io
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from xtf.config import DataConfig
from xtf.data import DataReport, fingerprint, read_rows
from xtf.errors import DataError

ROWS = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(5)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), out := io.BytesIO())
    return out.getvalue()


OBJECTS = {
    "data/a.jsonl": LINES,
    "data/b.jsonl.gz": gzip.compress(LINES, mtime=0),
    "data/deep/c.parquet": parquet(),
    "data/notes.md": b"no rows",
    "half.jsonl": b'{"prompt": "Hi", "completion": "Yes"}\n{"prompt": ',
}


class Bucket(BaseHTTPRequestHandler):
    """``GET``, ``HEAD`` and ``ListObjectsV2`` of one bucket, as the interface of S3 documents them."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).strip("/").partition("/")
        asked = parse_qs(url.query)
        if bucket != "bucket":
            self._error(404, "NoSuchBucket")
        elif "list-type" in asked:
            self._list(asked.get("prefix", [""])[0], asked.get("delimiter", [""])[0])
        elif key not in OBJECTS:
            self._error(404, "NoSuchKey")
        else:
            self._object(OBJECTS[key])

    def _object(self, content: bytes) -> None:
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        first, last = (int(part[1]), int(part[2] or len(content) - 1)) if part else (0, len(content) - 1)
        whole = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
        self._answer(206 if part else 200, content[first : last + 1], {"Content-Range": whole} if part else {})

    def _list(self, prefix: str, delimiter: str) -> None:
        keys, folders = [], set()
        for key in sorted(OBJECTS):
            inner, found, _ = key.removeprefix(prefix).partition(delimiter or "\0")
            if key.startswith(prefix) and found:
                folders.add(prefix + inner + delimiter)
            elif key.startswith(prefix):
                keys.append(key)
        date = "2026-01-01T00:00:00.000Z"
        items = "".join(
            f'<Contents><Key>{escape(key)}</Key><Size>{len(OBJECTS[key])}</Size><ETag>"1"</ETag>'
            f"<LastModified>{date}</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys
        )
        items += "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)
        )
        head = f"<Name>bucket</Name><KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>"
        name = "ListBucketResult"
        self._answer(200, f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{head}{items}</{name}>'.encode())

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>none of that name</Message></Error>".encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "ETag": '"1"', **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    s3fs = pytest.importorskip("s3fs")
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        try:
            yield
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            server.shutdown()


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("path", "times"),
    [
        ("s3://bucket/data/a.jsonl", 1),
        ("s3://bucket/data/b.jsonl.gz", 1),
        ("s3://bucket/data/deep/c.parquet", 1),
        ("s3://bucket/data", 3),
        ("s3://bucket/data/*.jsonl*", 2),
        ("s3://bucket/data/**/*.parquet", 1),
    ],
)
def test_rows_of_a_bucket(path: str, times: int) -> None:
    rows = list(read_rows(DataConfig(path=path)))
    assert [row.value for row in rows] == ROWS * times
    assert [row.value for row in read_rows(DataConfig(path=path), start=2, stop=4)] == ROWS[2:4]
    assert rows[0].location.startswith("s3://bucket/data/")
    assert fingerprint(DataConfig(path=path)) == fingerprint(DataConfig(path=path))


@pytest.mark.usefixtures("bucket")
def test_faults_name_the_address() -> None:
    report = DataReport()
    assert len(list(read_rows(DataConfig(path="s3://bucket/half.jsonl"), report))) == 1
    assert report.skipped["broken JSON"].locations == ["s3://bucket/half.jsonl:2"]
    for path in ("s3://bucket/none.jsonl", "s3://elsewhere/a.jsonl"):
        with pytest.raises(DataError, match=f"^{path}: cannot be read: "):
            list(read_rows(DataConfig(path=path)))
    with pytest.raises(DataError, match=r"^s3://bucket/none/\*\.jsonl: holds no data file"):
        list(read_rows(DataConfig(path="s3://bucket/none/*.jsonl")))
