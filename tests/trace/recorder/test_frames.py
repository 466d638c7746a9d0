"""A recording's stream: pieces, and a stream that ends too soon or is damaged."""

import gzip
import io
import lzma
from collections.abc import Callable

import pytest

from pagehint.errors import InputError
from pagehint.trace.recorder.frames import MAGIC, FrameWriter, read_frames


def whole() -> bytes:
    file = io.BytesIO()
    put = FrameWriter(file)
    for name, data in (("meta", b"{}"), ("page/0", bytes(300)), ("end", b"")):
        put(name, data)
    return file.getvalue()


def test_pieces() -> None:
    assert list(read_frames(io.BytesIO(whole()), "it")) == [("meta", b"{}"), ("page/0", bytes(300))]


def test_wherever_it_is_cut_off() -> None:
    """Within a piece's name it was called damaged."""
    stream = whole()
    for length in range(len(MAGIC), len(stream)):
        with pytest.raises(InputError, match="cut off"):
            list(read_frames(io.BytesIO(stream[:length]), "it"))


def test_a_damaged_head() -> None:
    with pytest.raises(InputError, match=r"piece 1: expected NAME BYTES, .* damaged"):
        list(read_frames(io.BytesIO(MAGIC + b"meta two\n{}"), "it"))
    with pytest.raises(InputError, match=r"piece 1: expected NAME BYTES, .* damaged"):
        list(read_frames(io.BytesIO(MAGIC + bytes(1000)), "it"))


@pytest.mark.parametrize(
    ("pack", "says"),
    [
        (gzip.compress, "by gzip: send it through `gzip -dc`"),
        (lzma.compress, "an xz archive: send it through `xz -dc`"),
    ],
)
def test_a_stream_that_is_packed(pack: Callable[[bytes], bytes], says: str) -> None:
    """It was told to be a tracer's text, to be saved in a file."""
    with pytest.raises(InputError, match=f"^it: is .*{says}$"):
        list(read_frames(io.BytesIO(pack(whole())), "it"))
