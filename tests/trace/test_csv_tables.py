"""CSV files, block by block."""

import gzip

import pyarrow as pa
import pytest

from pagehint.errors import InputError
from pagehint.trace import csv_tables
from pagehint.trace.csv_tables import csv_batches, csv_table

TYPES = {"time": pa.int64(), "text": pa.string()}
ROWS = [(10**12 + step, f"text {step}") for step in range(500)]
TEXT = "text,time,more\n" + "".join(f"{text},{time},\n" for time, text in ROWS)


@pytest.fixture(params=[7, 40, 41, 4096, 1 << 20])
def block(request, monkeypatch):
    monkeypatch.setattr(csv_tables, "_BLOCK", request.param)
    return request.param


@pytest.mark.parametrize("end", ["", "no end of line"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_is_the_same_wherever_its_blocks_end(tmp_path, block, packed, end):
    data = (TEXT[:-1] if end else TEXT).encode()
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(data) if packed else data)
    if block == 7:  # shorter than half a line
        with pytest.raises(InputError, match="line 2 is longer"):
            csv_table(path, TYPES)
        return
    table = csv_table(path, TYPES)
    assert list(zip(*table.to_pydict().values(), strict=True)) == ROWS
    assert [done for _, done in csv_batches(path, TYPES)][-1] == 1.0


def test_the_line_that_is_wrong(tmp_path, block):
    if block == 7:
        pytest.skip("shorter than half a line")
    path = tmp_path / "t.csv"
    path.write_text(TEXT.replace(f"text 400,{10**12 + 400},", "text 400,never,"))
    with pytest.raises(InputError, match=r"line 402: .*never"):
        csv_table(path, TYPES)


@pytest.mark.parametrize(("text", "error"), [("", "[Ee]mpty"), ("a,b\n1,2\n", "time"), ("text,time\n1\n", "line 2")])
def test_no_table(tmp_path, text, error):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=error):
        csv_table(path, TYPES)
