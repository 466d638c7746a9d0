"""A pandas job: frames generated and pickled, then read, grouped, merged, sorted and written, with pauses."""

import os
import sys
import time

import numpy as np
import pandas as pd

rows = int(sys.argv[1]) if len(sys.argv) > 1 else 600000
folder = "/var/tmp/etl"


def mark(name):
    os.system(f"mark {name} 2>/dev/null; true")


random = np.random.default_rng(1)
os.makedirs(folder, exist_ok=True)
for k in range(3):
    mark(f"generate_{k}")
    frame = pd.DataFrame(
        {
            "id": random.integers(0, rows // 3, rows),
            "group": random.integers(0, 500, rows),
            "x": random.normal(size=rows),
            "y": random.normal(size=rows),
            "t": np.arange(rows),
        }
    )
    frame.to_pickle(f"{folder}/{k}.pkl")
    del frame
mark("pause")
time.sleep(5)
for k in range(3):
    mark(f"aggregate_{k}")
    frame = pd.read_pickle(f"{folder}/{k}.pkl")
    groups = frame.groupby("group").agg({"x": "mean", "y": "std", "t": "max"})
    merged = frame.merge(groups, left_on="group", right_index=True, suffixes=("", "_g")).sort_values(["id", "t"])
    merged["z"] = merged.x * merged.y_g - merged.x_g
    pivot = merged.pivot_table(index="group", values=["z", "x"], aggfunc=["sum", "count"])
    merged.head(30000).to_csv(f"{folder}/{k}.csv")
    del frame, groups, merged, pivot
    mark(f"idle_{k}")
    time.sleep(5)
