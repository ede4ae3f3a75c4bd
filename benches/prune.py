"""The statements of `cargo bench --bench prune` through delta-rs' own DataFusion provider.

    python benches/prune.py TABLE STATEMENT...

For each statement: the median of nine warm runs in milliseconds, a line break, its analysed plan;
statements are divided by the character U+001E.
"""

import statistics
import sys
import time

import pyarrow
from deltalake import DeltaTable, QueryBuilder

events = DeltaTable(sys.argv[1])
builder = QueryBuilder().register("events", events)


def rows(sql):
    return pyarrow.RecordBatchReader.from_stream(builder.execute(sql)).read_all()


parts = []
for sql in sys.argv[2:]:
    plan = "\n".join(rows("explain analyze " + sql).column("plan").to_pylist())
    times = []
    for _ in range(9):
        start = time.perf_counter()
        rows(sql)
        times.append((time.perf_counter() - start) * 1000)
    parts.append(f"{statistics.median(times):.2f}\n{plan}")
sys.stdout.write("\x1e".join(parts))
