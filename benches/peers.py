"""Files to partitioned Parquet: agentrail, DuckDB and ClickHouse on the same input in the same run.

    python benches/peers.py FOLDER PROGRAM [ROUNDS]

FOLDER is what `cargo bench --bench input` wrote, PROGRAM the release build of agentrail. Each does
the same work: parse every event, join jobs and agents, write zstd Parquet partitioned by day, the raw
record as a column. agentrail also deduplicates, decides, keeps evidence and syncs to the disk, and it
reads its jobs and agents from REST answers; the others get them flat. Each run is a process of its
own, in turn, so that the machine's other work falls on all of them; medians and ratios are printed.
"""

import os
import shutil
import statistics
import sys
import time

folder, program = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
events, jobs, agents = (os.path.join(folder, name + ".ndjson") for name in ("events", "jobs", "agents"))

TEXTS = (
    "CorrelationId ActivityId ActorCUID ActorUserId ActorClientId ActorUPN AuthenticationMechanism "
    "ScopeDisplayName ScopeId ProjectId ProjectName IpAddress UserAgent ActionId Details Area ActorDisplayName"
).split()


def duck(out):
    import duckdb

    fields = ", ".join('"%s": "VARCHAR"' % t for t in ["Id", "Timestamp", *TEXTS])
    shape = '{"data": {%s, "Category": "INTEGER", "Data": "JSON"}}' % fields
    texts = ", ".join('d."%s"' % t for t in TEXTS)
    db = duckdb.connect(config={"threads": 2, "temp_directory": out + ".tmp"})
    db.execute("create table jobs as select * from read_ndjson(?)", [jobs])
    db.execute("create table agents as select * from read_ndjson(?)", [agents])
    db.execute(f"""
        copy (
          select e.raw, lower(d."Id") as event_id, d."Timestamp"::timestamptz as occurred, {texts},
            d."Category" as category, d."Data"::varchar as data, j.request_id, j.job_id, j.run_id, j.pool_id,
            a.agent_id, a.name as agent_name, a.version as agent_version, a.machine,
            (d."Timestamp"::timestamptz at time zone 'UTC')::date as date
          from (
            select json as raw, json_transform(json, '{shape}').data as d
            from read_json_objects('{events}', format = 'newline_delimited')
          ) e
          left join jobs j on j.run_id = try_cast(d."Data"->>'OwnerId' as bigint) and j.pool_id = 12
          left join agents a on a.agent_id = j.agent_id
        ) to '{out}' (format parquet, compression zstd, partition_by (date))
    """)


def click(out):
    import chdb

    os.makedirs(out)
    fields = ", ".join(f"{t} String" for t in ["Id", "Timestamp", *TEXTS])
    shape = f"Tuple({fields}, Category Int32, Data String)"
    texts = ", ".join(f"d.{t} as {t}" for t in TEXTS)
    chdb.query(f"""
        insert into function file('{out}/{{_partition_id}}.parquet', 'Parquet')
        partition by date
        select e.raw, lower(d.Id) as event_id, parseDateTime64BestEffort(d.Timestamp, 6, 'UTC') as occurred, {texts},
          d.Category as category, d.Data as data, j.request_id, j.job_id, j.run_id, j.pool_id,
          a.agent_id, a.name as agent_name, a.version as agent_version, a.machine, toDate(occurred) as date
        from (
          select raw, JSONExtract(raw, 'data', '{shape}') as d,
            toInt64OrZero(JSONExtractString(d.Data, 'OwnerId')) as run_id
          from file('{events}', 'LineAsString', 'raw String')
        ) e
        left join (select * from file('{jobs}', 'JSONEachRow') where pool_id = 12) j on j.run_id = e.run_id
        left join file('{agents}', 'JSONEachRow') a on a.agent_id = j.agent_id
        settings max_threads = 2, output_format_parquet_compression_method = 'zstd'
    """)


def agentrail(out):
    captures = os.path.join(folder, "captures.ndjson")
    os.execv(program, [program, "--lake", out, "ingest", captures, events])


def size(path):
    files = [os.path.join(at, f) for at, _, names in os.walk(path) for f in names if f.endswith(".parquet")]
    # Of a lake only the table that holds what the others write.
    return sum(os.path.getsize(f) for f in files if "/lake/" not in f or "/lake/events/" in f)


def measure(work, out):
    shutil.rmtree(out, ignore_errors=True)
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        try:
            work(out)
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - start
    if status:
        sys.exit(f"{work.__name__} failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size(out)


def main():
    with open(events, "rb") as file:
        count = sum(1 for _ in file)
    rows = {work: [] for work in (agentrail, duck, click)}
    for _ in range(rounds):
        for work, seen in rows.items():
            seen.append(measure(work, os.path.join(folder, "lake" if work is agentrail else work.__name__)))
    print(f"{count} events of {os.path.getsize(events) / count:.0f} bytes, {rounds} rounds, medians")
    middle = {work.__name__: [statistics.median(v) for v in zip(*seen)] for work, seen in rows.items()}
    for name, (seconds, cpu, memory, written) in middle.items():
        print(f"{name:<10} {count / seconds:>9.0f} events/s {cpu:6.1f} s of processor {memory:6.0f} MiB {written / count:6.0f} bytes an event")
    ours = middle["agentrail"]
    for name in ("duck", "click"):
        print(f"agentrail is {middle[name][0] / ours[0]:.2f}x {name} in speed, {ours[3] / middle[name][3]:.2f}x in size")


main()
