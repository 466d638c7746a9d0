"""Logs of failed allocations and of the OOM killer, as kernels from 5.10 to 6.18 and several machines print them."""

__all__ = ["SAMPLES"]

_ORDERS = (
    "12000*4kB (UME) 2000*8kB (UME) 10*16kB (UM) 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB"
    " = 64160kB"
)
_COUNTERS = """Mem-Info:
active_anon:1000 inactive_anon:2000 isolated_anon:0
 active_file:100 inactive_file:200 isolated_file:0
 unevictable:0 dirty:5 writeback:0
 slab_reclaimable:50 slab_unreclaimable:60
 mapped:30 shmem:10 pagetables:20{more}
 free:16040 free_pcp:7 free_cma:{cma}
"""
_TAIL = """Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB
300 total pagecache pages
0 pages in swap cache
Free swap  = 100kB
Total swap = 200kB
500000 pages RAM
0 pages HighMem/MovableOnly
12500 pages reserved
"""


def _head(kernel: str, order: int, mode: str = "0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO)") -> str:
    return (
        f"kworker/u8:2: page allocation failure: order:{order}, mode:{mode}, nodemask=(null),cpuset=/,mems_allowed=0\n"
        f"CPU: 1 PID: 133 Comm: kworker/u8:2 Not tainted {kernel} #1 SMP\nCall Trace:\n dump_stack+0x6d/0x88\n"
    )


def _oom(kernel: str) -> str:
    return (
        "python3 invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), order=0, "
        f"oom_score_adj=0\nCPU: 0 PID: 900 Comm: python3 Not tainted {kernel} #1 SMP\n"
    )


def _zone(name: str, node: int, kib: int, fields: str, orders: str, cma: int = 0) -> str:
    return (
        f"Node {node} {name} free:{kib}kB {fields} active_anon:0kB inactive_anon:0kB active_file:0kB inactive_file:0kB "
        f"unevictable:0kB writepending:0kB present:2000000kB managed:1950000kB mlocked:0kB bounce:0kB free_pcp:28kB "
        f"local_pcp:0kB free_cma:{cma}kB\nlowmem_reserve[]: 0 0 0 0 0\nNode {node} {name}: {orders}\n"
    )


_V510 = "min:40000kB low:50000kB high:60000kB reserved_highatomic:0KB"
_V518 = "boost:0kB min:40000kB low:50000kB high:60000kB reserved_highatomic:2048KB"
_V618 = "boost:0kB min:40000kB low:50000kB high:60000kB reserved_highatomic:2048KB free_highatomic:1024KB"
_CMA = _ORDERS.replace("10*16kB (UM)", "10*16kB (UMC)")
_ARM = (
    "100*64kB (UME) 50*128kB (UM) 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB 0*8192kB 0*16384kB 0*32768kB 0*65536kB "
    "0*131072kB 0*262144kB 0*524288kB = 12800kB"
)
_APPLE = (
    "100*16kB (UME) 50*32kB (UM) 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB 0*8192kB 0*16384kB 0*32768kB"
    " = 3200kB"
)
_LATER = "\n sec_pagetables:0 bounce:0\n kernel_misc_reclaimable:0"


def _report(head: str, zones: str, more: str = "", cma: int = 0) -> str:
    return head + _COUNTERS.format(more=more, cma=cma) + zones + _TAIL


_TWO = _report(_head("5.10.0-30-amd64", 4), _zone("DMA32", 0, 64160, _V510, _ORDERS), " bounce:0") + _report(
    _oom("5.10.0-30-amd64"), _zone("DMA32", 0, 20000, _V510, _ORDERS), " bounce:0"
)

SAMPLES = {
    "5.10, a failure and the OOM killer": _TWO,
    "5.10, both, with prefixes": "".join(
        f"Nov 28 00:00:01 host kernel: [  12.345678] {line}\n" for line in _TWO.splitlines()
    ),
    "6.1, two nodes": _report(
        _head("6.1.0-28-amd64", 4),
        _zone("Normal", 0, 64160, _V518, _ORDERS) + _zone("Normal", 1, 64160, _V518, _ORDERS),
        _LATER,
    ),
    "6.12, CMA": _report(_head("6.12.9", 2), _zone("DMA", 0, 64160, _V518, _CMA, 4096), _LATER, 1024),
    "6.18": _report(_head("6.18.0", 9), _zone("Normal", 0, 64160, _V618, _ORDERS), _LATER + " balloon:0 gpu_active:0"),
    "arm64, 64 KiB pages": _report(_head("6.1.0-arm64-64k", 5), _zone("Normal", 0, 12800, _V518, _ARM), _LATER),
    "arm64, 16 KiB pages": _report(_head("6.9.0-asahi-16k", 3), _zone("Normal", 0, 3200, _V518, _APPLE), _LATER),
    "Xen": _report(
        _head("5.15.0-xen", 3, "0xcc0(GFP_KERNEL)"), _zone("DMA32", 0, 64160, _V518, _ORDERS), " bounce:0"
    ).replace("Not tainted", "Tainted: G        W"),
}
"""Texts by what they are of."""
