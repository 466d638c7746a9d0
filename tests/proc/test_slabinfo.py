"""/proc/slabinfo, as kernels print it, and as people paste it."""

from pathlib import Path

from pagehint.diagnosis.recognise import read_files
from pagehint.proc.slabinfo import SlabCache, parse_slabinfo

TEXT = """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount>
jbd2_journal_head    508    748    120   34    1 : tunables    0    0    0 : slabdata     22     22      0
:A-0000192          21     42    192   21    1 : tunables    0    0    0 : slabdata      2      2      0
ext4_inode_cache  34528  34528   1192   13    4 : tunables    0    0    0 : slabdata   2656   2656      0
"""
CACHES = {
    "jbd2_journal_head": SlabCache(508, 748, 1, 22),
    ":A-0000192": SlabCache(21, 42, 1, 2),
    "ext4_inode_cache": SlabCache(34528, 34528, 4, 2656),
}


def test_each_row_is_a_cache() -> None:
    found = parse_slabinfo(TEXT)
    assert found == CACHES
    assert found["ext4_inode_cache"].pages == 10624
    assert parse_slabinfo("ext4_inode_cache 34528 : slabdata \n") == {}


def test_a_file_of_it_is_recognised(tmp_path: Path) -> None:
    quoted = tmp_path / "slabinfo"
    quoted.write_text("".join(f"> {line}\n" for line in TEXT.splitlines()))
    evidence = read_files([quoted])
    assert evidence.slab_caches == CACHES
    assert [what for _, what in evidence.sources] == ["slabinfo"]
