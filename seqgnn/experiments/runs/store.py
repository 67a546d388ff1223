"""Results on disk: one JSON file per run, keyed by its configuration, written atomically and read without executing
code."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seqgnn._utils.files import is_lost, is_temporary, write_atomically

FORMAT = "seqgnn-run"
VERSION = 1


def run_key(config: dict[str, Any]) -> str:
    """Return the key of a configuration: a hash of its canonical JSON, so the order of names does not matter.

    What is None is left out: an option that comes with a later version, and is not used, changes no key.

    Example:
        >>> run_key({"a": 1, "b": (2, 3)}) == run_key({"b": [2, 3], "a": 1, "c": None})
        True
    """
    content = {"version": VERSION, "config": _without_none(config)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class StoreLost(ValueError):
    """The folder of the runs was removed, renamed or unmounted while runs were executed or tables written."""


class RunStore:
    """A folder of runs.

    A run's file is `<key>.json` and holds `{"format", "version", "sha256", "config", "spec", "result", "measured"}`:
    the model's specification, with its label; the result, which the configuration determines (scores, curves); and what
    was measured (seconds, date, machine). Its weights are in `<key>.safetensors`, its error in `<key>.failed`, and its
    checkpoints in `<key>.partial/`, with the lock of the process that executes it.

    Args:
        folder: created by `prepare`; it may be read-only if no run has to be executed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = RunStore(folder)
        ...     path = store.put({"seed": 0}, {"accuracy": 1.0}, {"seconds": 2.5})
        ...     store.get({"seed": 0})["result"], store.get({"seed": 1})
        ({'accuracy': 1.0}, None)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def prepare(self) -> None:
        """Create the folder if it is not there.

        Raises:
            ValueError: if it cannot be created or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ValueError(f"RunStore: expected a writable folder, got {self.folder} ({error.strerror})") from error
        self.clean()

    def clean(self) -> None:
        """Remove what killed processes left behind: temporary files, and checkpoints and locks of runs that are
        finished. What belongs to a run that another process executes stays, and so does all in a read-only folder."""
        with suppress(OSError, ValueError):
            names = [file.name for file in self.folder.iterdir()]
            temporary = {name[1:21] for name in names if re.fullmatch(r"\.[0-9a-f]{20}\..+\.tmp", name)}
            finished = {name.removesuffix(".json") for name in names if name.endswith(".json")}
            partial = {name.removesuffix(".partial") for name in names if name.endswith(".partial")}
            for key in sorted(temporary | (finished & partial)):
                with self._reserve(key) as folder:
                    if folder is not None and key in finished:
                        shutil.rmtree(folder, ignore_errors=True)

    def path(self, config: dict[str, Any]) -> Path:
        """Return where the run of `config` is, or would be."""
        return self.folder / f"{run_key(config)}.json"

    def weights(self, config: dict[str, Any]) -> Path:
        """Return where the weights of the run of `config` are, or would be."""
        return self.path(config).with_suffix(".safetensors")

    def lacks_weights(self, record: dict[str, Any]) -> bool:
        """Return True if the weights of a finished training run are missing, or their file is cut off.

        The weights themselves are compared with the hash of the run where they are read.
        """
        if record["result"].get("weights_sha256") is None:
            return False
        try:
            with open(self.weights(record["config"]), "rb") as file:
                size, header_size = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(header_size, size)))
                parts = [part["data_offsets"][1] for name, part in header.items() if name != "__metadata__"]
            return bool(size != 8 + header_size + max(parts, default=0))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return True

    def state(self, config: dict[str, Any]) -> str:
        """Return how far the run of `config` is: "finished", "without weights" if only these are missing or damaged,
        "failed" when last tried, "interrupted" or "to do".

        Raises:
            ValueError: as `get` does.
        """
        if (record := self.get(config)) is not None:
            return "without weights" if self.lacks_weights(record) else "finished"
        if self.failure(config) is not None:
            return "failed"
        checkpoints = self.path(config).with_suffix(".partial").glob("*.safetensors")
        return "interrupted" if any(checkpoints) else "to do"

    def check(self, config: dict[str, Any] | None = None) -> None:
        """Check that the folder is still there, and the one that `claim` has reserved for the run of `config`.

        Raises:
            StoreLost: if the folder of all runs is not there.
            ValueError: if only that of the run is not there.
        """
        claimed = self.folder if config is None else self.path(config).with_suffix(".partial")
        if is_lost(claimed):
            reason = "it was removed, renamed or unmounted in the meantime"
            if is_lost(self.folder):
                raise StoreLost(f"compare: expected the folder {self.folder}, but {reason}")
            raise ValueError(f"compare: expected the folder {claimed}, but it was removed while its run was executed")

    @contextmanager
    def claim(self, config: dict[str, Any]) -> Iterator[Path | None]:
        """Reserve a run for this process among all that share the folder, while the block lasts.

        Yields a folder for its checkpoints, which `discard` removes; None if another process has reserved the run. The
        reservation ends when the process is killed.
        """
        with self._reserve(run_key(config)) as folder:
            yield folder

    @contextmanager
    def _reserve(self, key: str) -> Iterator[Path | None]:
        from filelock import FileLock, Timeout

        folder = self.folder / f"{key}.partial"
        lock = FileLock(folder / ".lock")
        try:
            folder.mkdir(exist_ok=True)
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):  # reserved, or just removed because its run is finished
            self.check()
            yield None
            return
        except OSError as error:
            raise ValueError(f"RunStore: expected a writable folder, got {folder} ({error.strerror})") from error
        try:
            for file in self.folder.glob(f".{key}.*"):
                if is_temporary(file.name):  # of a process that was killed, since this one has reserved the run
                    file.unlink(missing_ok=True)
            yield folder
        finally:
            with suppress(OSError):
                if [file.name for file in folder.iterdir()] == [".lock"]:
                    shutil.rmtree(folder, ignore_errors=True)  # nothing to resume from
            lock.release()

    def discard(self, config: dict[str, Any]) -> None:
        """Remove the checkpoints of a run that this process has reserved."""
        shutil.rmtree(self.path(config).with_suffix(".partial"), ignore_errors=True)

    def fail(self, config: dict[str, Any], message: str, spec: dict[str, Any] | None = None) -> None:
        """Store the error message of a run that failed."""
        note = {"format": FORMAT + "-failure", "version": VERSION, "config": config, "message": message, "spec": spec}
        write_atomically(self.path(config).with_suffix(".failed"), json.dumps(note) + "\n")

    def failure(self, config: dict[str, Any]) -> str | None:
        """Return the error message of a run's last execution, or None."""
        try:
            return str(json.loads(self.path(config).with_suffix(".failed").read_text(encoding="utf-8"))["message"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, OSError):
            return "its error message could not be read"

    def put(
        self,
        config: dict[str, Any],
        result: dict[str, Any],
        measured: dict[str, Any],
        spec: dict[str, Any] | None = None,
    ) -> Path:
        """Write a run atomically: a crash leaves the previous content.

        Raises:
            ValueError: if a value is not valid JSON, such as NaN, or the file cannot be written.
        """
        content = {"config": config, "spec": spec, "result": result, "measured": measured}
        record = {"format": FORMAT, "version": VERSION, "sha256": _checksum(content), **content}
        path = self.path(config)
        text = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
        try:
            write_atomically(path, text)
        except OSError as error:
            raise ValueError(f"RunStore: expected a writable file, got {path} ({error.strerror})") from error
        path.with_suffix(".failed").unlink(missing_ok=True)
        return path

    def get(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """Return the run of `config`, or None if there is none.

        Raises:
            ValueError: naming the file, if it is not a whole run of this configuration that this version can read.
        """
        path = self.path(config)
        if not path.exists():
            return None
        return read_run(path, config)


def read_run(path: Path, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the run in a file, that of `config` or of any; nothing is written, so its folder may be read-only.

    Raises:
        ValueError: naming the file, if it is not a whole run that this version can read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"RunStore: expected JSON in {path}, got bytes that are not UTF-8 ({error})") from error
    except OSError as error:
        raise ValueError(f"RunStore: expected a readable file, got {path} ({error.strerror})") from error
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"RunStore: expected JSON in {path}, got a damaged file ({error})") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        actual = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"RunStore: expected format {FORMAT!r} in {path}, got {actual!r}")
    if record.get("version") != VERSION:
        raise ValueError(
            f"RunStore: expected version {VERSION} in {path}, got {record.get('version')!r}; "
            "read it with the version of seqgnn that wrote it, or move it away"
        )
    missing = [name for name in ("config", "result", "measured") if not isinstance(record.get(name), dict)]
    if missing:
        raise ValueError(f"RunStore: expected an object under {missing[0]!r} in {path}, got none")
    if config is not None and _without_none(record["config"]) != _without_none(json.loads(json.dumps(config))):
        raise ValueError(f"RunStore: expected the run of {config} in {path}, got that of {record['config']}")
    if record.get("sha256") != _checksum({name: record.get(name) for name in ("config", "spec", "result", "measured")}):
        raise ValueError(f"RunStore: {path} was changed after it was written (sha256)")
    return record


def _without_none(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the values that are None."""
    known = {name: value for name, value in config.items() if value is not None}
    return {name: _without_none(value) if isinstance(value, dict) else value for name, value in known.items()}


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
