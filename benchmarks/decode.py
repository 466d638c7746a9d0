"""How fast ring buffer pages are decoded, beside the kernel that prints the same events as text.

    sudo python benchmarks/decode.py [ROUNDS]

Each round records a program that faults memory in, in buffers that hold all of it, reads tracefs' `trace` (text, which
a tool would have to parse as well), and decodes the pages. Prints the median of each, in CPU time of this thread.
"""

import argparse
import statistics
import subprocess
import sys
import time

from pagehint.trace.recorder.formats import parse_format, parse_header_page
from pagehint.trace.recorder.pages import PageDecoder
from pagehint.trace.recorder.tracefs import Buffers, Instance, find_tracefs

FAULTS = """
import mmap
for _ in range(4):
    memory = mmap.mmap(-1, 128 << 20)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory[::4096] = bytes(32768)
    memory.close()
"""
BUFFER_KIB = 32 << 10


def measured() -> tuple[int, float, float]:
    """Events, and the seconds that the kernel takes to print them, and the decoder to decode them."""
    with Instance(find_tracefs(), "page", BUFFER_KIB) as instance:
        instance.start()
        subprocess.run([sys.executable, "-c", FAULTS], check=True)
        instance.stop()
        begun = time.thread_time()
        with (instance.folder / "trace").open("rb", buffering=0) as text:
            while text.read(1 << 20):
                pass
        printed = time.thread_time() - begun
        layout = parse_header_page(instance.header_page())
        forms = [parse_format(form)._replace(name=name) for name, form in instance.formats.items()]
        decoder, pages = PageDecoder(layout, forms), list[tuple[int, bytes]]()
        buffers = Buffers(instance, layout.size)
        buffers.drain(lambda cpu, data: pages.append((cpu, bytes(data))))
        buffers.close()
    begun = time.thread_time()
    events = sum(len(decoder.decode(data, cpu)[0]["time"]) for cpu, data in pages)
    return events, printed, time.thread_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=7, metavar="ROUNDS", help="how often (7)")
    rows = [measured() for _ in range(parser.parse_args().rounds)]
    speeds = [events / decoded / 1e6 for events, _, decoded in rows]
    ratios = [printed / decoded for _, printed, decoded in rows]
    print(
        f"{statistics.median(events for events, *_ in rows):,.0f} events a round, decoded at "
        f"{statistics.median(speeds):.1f} million a second ({min(speeds):.1f} to {max(speeds):.1f}; aim: 5), "
        f"{statistics.median(ratios):.0f} times as fast as the kernel prints them"
    )


if __name__ == "__main__":
    main()
