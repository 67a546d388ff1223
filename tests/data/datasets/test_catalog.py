import hashlib
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from seqgnn.data import CharText
from seqgnn.data.datasets import catalog as catalog
from tests.support.paths import DATA

CONTENT = b"It was the best of times, it was the worst of times.\n" * 4000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def send_head(self):
        if self.path != "/cut.txt":
            return super().send_head()
        self.send_response(200)
        self.send_header("Content-Length", str(2 * len(CONTENT)))  # promises more than comes
        self.end_headers()
        self.wfile.write(CONTENT)
        self.close_connection = True
        return None


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves a folder with `book.txt`; "grimm" is that file; the cache is an empty folder."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "SEQGNN_DATA"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "book.txt").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{one.server_address[1]}/book.txt"
        set_text(monkeypatch, url=url, file="grimm/book.txt", sha256=SHA)
        monkeypatch.setattr(catalog, "_cache", lambda: tmp_path / "cache")
        yield url
        one.shutdown()
        thread.join()


def set_text(monkeypatch, **changes):
    monkeypatch.setitem(catalog.TEXTS, "grimm", replace(catalog.TEXTS["grimm"], **changes))


def test_catalog_texts_have_distinct_hashes_and_pinned_urls():
    texts = catalog.TEXTS
    assert texts["democracy"].gutenberg == 815 and texts["grimm"].gutenberg == 2591
    assert len({text.sha256 for text in texts.values()}) == len({text.file for text in texts.values()}) == len(texts)
    for text in texts.values():
        assert len(text.sha256) == 64 and int(text.sha256, 16) and text.bytes > 1e5
        commit = text.url.split("/")[5]
        assert text.url.startswith("https://") and len(commit) == 40 and int(commit, 16)


def test_fetch_downloads_once(server, tmp_path, monkeypatch):
    assert catalog.find("grimm") is None
    path = catalog.fetch("grimm")
    assert path == tmp_path / "cache" / "grimm" / "book.txt" and path.read_bytes() == CONTENT
    set_text(monkeypatch, url="http://127.0.0.1:9/gone.txt")
    assert catalog.fetch("grimm") == catalog.find("grimm") == path
    assert [file.name for file in path.parent.iterdir()] == ["book.txt"]
    assert CharText(path).num_tokens == len(set(CONTENT))


def test_fetch_into_a_folder_writes_there_and_not_to_the_cache(server, tmp_path):
    path = catalog.fetch("grimm", tmp_path / "data")
    assert path == tmp_path / "data" / "grimm" / "book.txt" and path.read_bytes() == CONTENT
    assert catalog.find("grimm") is None and catalog.find("grimm", str(tmp_path / "data")) == path


def test_fetch_with_seqgnn_data_returns_file_of_that_folder(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQGNN_DATA", str(tmp_path / "data"))
    assert catalog.fetch("grimm") == tmp_path / "cache" / "grimm" / "book.txt"  # not there
    path = tmp_path / "data" / "grimm" / "book.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert catalog.fetch("grimm") == path


def test_fetch_changed_file_raises_and_leaves_it_in_place(server, tmp_path):
    path = catalog.fetch("grimm")
    path.write_bytes(CONTENT + b"!")
    changed = hashlib.sha256(CONTENT + b"!").hexdigest()
    with pytest.raises(ValueError, match=rf"expected .*book\.txt to be grimm with SHA-256 {SHA}, got {changed}; move"):
        catalog.fetch("grimm")
    assert path.read_bytes() == CONTENT + b"!"
    assert catalog.check()["grimm"] == "changed"
    path.write_bytes(CONTENT)
    assert catalog.check()["grimm"] == catalog.check(tmp_path / "cache")["grimm"] == "whole"
    assert catalog.check(tmp_path / "elsewhere")["grimm"] == "missing"


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("/gone.txt", r"HTTPError \(404"),
        ("/cut.txt", "expected to download grimm from"),
        (":1", "ConnectionError"),
    ],
)
def test_fetch_failed_download_leaves_no_file(server, tmp_path, monkeypatch, capfd, address, match):
    base = server.removesuffix("/book.txt")
    url = base + address if address.startswith("/") else "http://127.0.0.1:9/book.txt"
    set_text(monkeypatch, url=url)
    with pytest.raises(ValueError, match=match):
        catalog.fetch("grimm")
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert capfd.readouterr() == ("", "")


def test_fetch_download_with_wrong_hash_leaves_no_file(server, tmp_path, monkeypatch):
    set_text(monkeypatch, sha256="0" * 64)
    with pytest.raises(ValueError, match=f"catalog: expected to download grimm from .*{SHA}"):
        catalog.fetch("grimm")
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


def test_fetch_into_a_file_raises_value_error(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="catalog: expected to download grimm"):
        catalog.fetch("grimm", tmp_path / "file")


def test_find_and_fetch_unknown_name_suggests_closest_name():
    for function in (catalog.find, catalog.fetch):
        with pytest.raises(
            ValueError, match=r"catalog: expected name to be one of 'democracy', .*; did you mean 'grimm'"
        ):
            function("grim")


def test_cache_folder_equals_that_of_pooch():
    pooch = pytest.importorskip("pooch")
    assert catalog._cache() == Path(pooch.os_cache("seqgnn"))


@pytest.mark.parametrize("name", ["democracy", "tinyshakespeare"])
def test_check_known_texts_are_whole(name):
    path = catalog.find(name, DATA)
    if path is None:
        pytest.skip("the file is not here")
    assert catalog.fetch(name, DATA) == path and catalog.check(DATA)[name] == "whole"
    assert path.stat().st_size == catalog.TEXTS[name].bytes
    assert CharText(path, encoding=catalog.TEXTS[name].encoding).num_tokens in (83, 65)
