"""The flags of /proc/kpageflags, and what they tell of a page."""

import numpy as np

from pagehint.proc.kpageflags import KPageFlag, page_states


def test_page_states_by_kpageflags():
    buddy, uptodate = KPageFlag.BUDDY, KPageFlag.UPTODATE
    words = [buddy, buddy | uptodate, uptodate, KPageFlag.NOPAGE, KPageFlag.OFFLINE, 0]
    states = page_states(np.array(words, np.uint64))
    assert states.free.tolist() == [True, True, False, False, False, False]
    assert states.reported.tolist() == [False, True, False, False, False, False]
    assert states.present.tolist() == [True, True, True, False, False, True]
