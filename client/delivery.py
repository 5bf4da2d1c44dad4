"""A parcel's pieces on a device, kept until all are there: a delivery that breaks off goes on where it was, also after a restart."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from everbloom.errors import SchemaError
from everbloom.parcel import Manifest


@dataclass(frozen=True)
class Delivery:
    """`folder`/VERSION/NUMBER for each piece that has come and is what was announced. One delivery at a time: those of another version go."""

    folder: Path

    def add(self, manifest: Manifest, pieces: dict[int, bytes]) -> None:
        """Keeps pieces. Raises `SchemaError` at the first that is cut short or changed; those before it are kept."""
        there = self._of(manifest)
        there.mkdir(parents=True, exist_ok=True, mode=0o700)
        for other in self.folder.iterdir():
            if other != there:
                shutil.rmtree(other)
        for number, piece in sorted(pieces.items()):
            manifest.check(number, piece)
            fresh = there / f".{number}.new"
            with fresh.open("wb") as stream:
                stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(there / str(number))

    def missing(self, manifest: Manifest) -> list[int]:
        """Numbers of the pieces that have not come."""
        there = self._of(manifest)
        return [number for number in range(len(manifest.pieces)) if not (there / str(number)).is_file()]

    def content(self, manifest: Manifest) -> bytes:
        """The whole, once nothing is missing. Raises `SchemaError` if a piece was damaged where it lay; that one is dropped, to be sent again."""
        there = self._of(manifest)
        parts = []
        for number in range(len(manifest.pieces)):
            part = (there / str(number)).read_bytes()
            try:
                manifest.check(number, part)
            except SchemaError:
                (there / str(number)).unlink()
                raise
            parts.append(part)
        data = b"".join(parts)
        manifest.check_whole(data)
        return data

    def done(self) -> None:
        """Drops the pieces of what was delivered."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _of(self, manifest: Manifest) -> Path:
        return self.folder / manifest.version
