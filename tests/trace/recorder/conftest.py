"""Ring buffer pages of four kernels' guests, with what a plain reader found in them."""

import csv
import gzip
import io
import lzma
from pathlib import Path

import pytest

from pagehint.trace.recorder.formats import parse_format, parse_header_page

KERNELS = ("5.10", "6.1", "6.12", "6.18")
HEADER_PAGE = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
"""


class RawPages:
    """The pages of a kernel's guest, by CPU; its formats; and the events expected in them."""

    def __init__(self, kernel):
        folder = Path(__file__).parent / "pages" / kernel
        self.layout = parse_header_page(HEADER_PAGE)
        texts = (folder / "formats").read_text().split("name: ")[1:]
        self.formats = [parse_format("name: " + text) for text in texts]
        self.cpus = [gzip.decompress((folder / f"cpu{cpu}.raw.gz").read_bytes()) for cpu in range(2)]
        rows = lzma.decompress((folder / "expected.csv.xz").read_bytes()).decode()
        self.expected = list(csv.DictReader(io.StringIO(rows)))


@pytest.fixture(params=KERNELS)
def raw(request):
    return RawPages(request.param)
