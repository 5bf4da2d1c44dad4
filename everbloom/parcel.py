"""Something large and public that goes to devices in pieces: what it is made of, so that each piece can be checked and a broken delivery goes on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.common import Array

from everbloom.errors import SchemaError

CATALOGUE = "query.catalogue"
"""The message that brings a catalogue; its answer says what is still missing."""
PIECE_BYTES = 1 << 20
_MOST_PIECES = 4096


@dataclass(frozen=True)
class Manifest:
    """`version`: SHA-256 of the whole; `pieces`: SHA-256 of each, in hexadecimal. No piece has more than
    `piece_bytes`."""

    version: str
    size: int
    piece_bytes: int
    pieces: tuple[str, ...]

    @classmethod
    def of(cls, data: bytes, piece_bytes: int = PIECE_BYTES) -> "Manifest":
        """Of a parcel's content."""
        parts = pieces_of(data, piece_bytes)
        return cls(_sha(data), len(data), piece_bytes, tuple(map(_sha, parts)))

    @classmethod
    def of_parts(cls, parts: Sequence[bytes]) -> "Manifest":
        """Of a content that is made of parts, each a piece: of two contents that share parts, a device needs these once."""
        longest = max(map(len, parts), default=0)
        return cls(_sha(b"".join(parts)), sum(map(len, parts)), longest, tuple(map(_sha, parts)))

    def check(self, number: int, piece: bytes) -> None:
        """Raises `SchemaError` unless this is the whole piece of this number."""
        if not 0 <= number < len(self.pieces):
            raise SchemaError(f"piece {number} of a parcel of {len(self.pieces)}")
        if _sha(piece) != self.pieces[number]:
            raise SchemaError(
                f"piece {number} of parcel {self.version[:16]}: {len(piece)} bytes that are not what was announced; "
                "cut short or changed on the way, to be sent again"
            )

    def check_whole(self, data: bytes) -> None:
        """Raises `SchemaError` unless this is the whole content."""
        if _sha(data) != self.version:
            raise SchemaError(f"parcel {self.version[:16]}: its pieces make something else; to be sent again")


def pieces_of(data: bytes, piece_bytes: int = PIECE_BYTES) -> list[bytes]:
    """The content, cut up; one empty piece if there is nothing."""
    return [data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes)] or [b""]


def pack_parcel(manifest: Manifest, pieces: dict[int, bytes], digest: str) -> RecordDict:
    """A message's content: what the parcel is made of, and some of its pieces (none: only asks what is missing). `digest`: of the catalogue in it, by
    which a device knows that it has it already.
    """
    return RecordDict(
        {
            "manifest": ConfigRecord(
                {
                    "digest": digest,
                    "version": manifest.version,
                    "size": manifest.size,
                    "piece_bytes": manifest.piece_bytes,
                    "pieces": list(manifest.pieces),
                }
            ),
            "pieces": ArrayRecord(
                {str(number): Array(np.frombuffer(piece, dtype=np.uint8)) for number, piece in pieces.items()}
            ),
        }
    )


def unpack_parcel(content: RecordDict) -> tuple[Manifest, dict[int, bytes], str]:
    """The inverse; pieces are not checked yet. Raises `SchemaError` on anything else."""
    try:
        told = content.config_records["manifest"]
        digests = cast(list[str], told["pieces"])
        manifest = Manifest(str(told["version"]), int(told["size"]), int(told["piece_bytes"]), tuple(digests))  # type: ignore[arg-type]
        digest = str(told["digest"])
        if not 1 <= len(manifest.pieces) <= _MOST_PIECES or not all(
            map(_is_digest, (digest, manifest.version, *digests))
        ):
            raise ValueError("what the parcel is made of is no list of digests")
        arrays = content.array_records["pieces"]
        pieces = {int(number): arrays[number].numpy().astype(np.uint8).tobytes() for number in arrays}
    except (KeyError, TypeError, ValueError, OverflowError, EOFError, OSError) as error:
        raise SchemaError(f"message is no parcel of this version of everbloom: {error!r}") from None
    return manifest, pieces, digest


def pack_missing(missing: list[int], held: str) -> RecordDict:
    """A device's answer: pieces that it still needs, and the digest of the catalogue that it has now."""
    return RecordDict({"parcel": ConfigRecord({"missing": missing, "held": held})})


def unpack_missing(content: RecordDict) -> tuple[list[int], str]:
    """The inverse. Raises `SchemaError` on anything else."""
    try:
        told = content.config_records["parcel"]
        missing, held = cast(list[int], told["missing"]), told["held"]
        if not isinstance(held, str) or not all(isinstance(number, int) for number in missing):
            raise TypeError("what is missing is no list of numbers")
    except (KeyError, TypeError) as error:
        raise SchemaError(f"reply says nothing of a parcel: {error!r}") from None
    return list(missing), held


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
