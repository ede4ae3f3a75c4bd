"""asyncpg and psqlODBC, by which Excel and most tools on Windows connect, against the postgres door.

Arguments: port, name, password, and the name of the ODBC driver. Prints one line for each thing that was seen to work.
"""
import asyncio
import datetime
import sys
import uuid

import asyncpg
import pyodbc

port, name, password, driver = sys.argv[1:5]


def saw(what, right):
    assert right, what
    print(what)


async def of_asyncpg():
    where = dict(host="127.0.0.1", port=port, user=name, password=password, database="agentrail")
    own = await asyncpg.connect(**where)
    since = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    some = "select event_id, agent_id from actions where occurred > $1 and grade = any($2) and agent_id is not null limit 1"
    row = await own.fetchrow(some, since, ["sole", "exact"])
    saw("lists", isinstance(row["agent_id"], int))
    ids = [uuid.UUID(row["event_id"]), uuid.uuid4()]
    saw("guids", await own.fetchval("select count(*) from actions where event_id = any($1::uuid[])", [str(own) for own in ids]) == 1)
    saw("numbers", await own.fetchval("select count(*) > 0 from actions where agent_id = any($1)", [row["agent_id"]]))
    saw("a cast", await own.fetchval("select $1::bigint + 1", 1) == 2)
    values = await own.fetchrow(
        "select 1.5::numeric, date '2026-01-02', time '01:02:03', true, 1::smallint, 'x'::bytea, array[1, 2], array['a'], null"
    )
    saw("types", tuple(values)[3:] == (True, 1, b"x", [1, 2], ["a"], None))
    async with own.transaction(isolation="repeatable_read", readonly=True):
        found = [row[0] async for row in own.cursor("select event_id from actions order by 1", prefetch=50)]
    saw("a cursor", len(found) == await own.fetchval("select count(*) from actions"))
    try:
        await own.fetch("select count(*) from generate_series(1, 1000000000) a, generate_series(1, 100000) b", timeout=1)
        saw("a timeout", False)
    except TimeoutError:
        saw("a timeout", await own.fetchval("select 1") == 1)
    saw("a setting", await own.fetchval("select set_config('application_name', 'peer', false)") == "peer")
    saw("that is kept", await own.fetchval("select current_setting('application_name')") == "peer")
    try:
        await own.fetch("select set_config('transaction_read_only', 'off', false)")
        saw("but not each", False)
    except asyncpg.PostgresError as error:
        saw("but not each", "this server only reads" in str(error))
    await own.close()
    pool = await asyncpg.create_pool(**where, min_size=2, max_size=4)

    async def one():
        async with pool.acquire() as own:
            return await own.fetchval("select count(*) from actions")

    saw("a pool", set(await asyncio.gather(*[one() for _ in range(10)])) == {len(found)})
    await pool.close()


def of_odbc():
    where = f"Driver={driver};Server=127.0.0.1;Port={port};Database=agentrail;UID={name};PWD={password};SSLmode=disable"
    own = pyodbc.connect(where, autocommit=True)
    cursor = own.cursor()
    views = {(row.table_schem, row.table_name) for row in cursor.tables(tableType="VIEW")}
    saw("odbc views", ("public", "actions") in views)
    columns = {row.column_name: row.type_name for row in cursor.columns(table="actions", schema="public")}
    saw("odbc columns", (columns["occurred"], columns["agent_id"]) == ("timestamptz", "int8"))
    saw("odbc keys", list(cursor.primaryKeys("actions")) == list(cursor.statistics("actions")) == [])
    saw("odbc functions", "trace" in {row.procedure_name for row in cursor.procedures()})
    takes = [row.column_name for row in cursor.procedureColumns("in_network")]
    saw("odbc parameters", takes[-2:] == ["address", "network"])
    some = "select event_id, occurred, agent_id from actions where agent_id is not null and occurred > ? and grade = ? limit 2"
    rows = cursor.execute(some, datetime.datetime(2026, 1, 1), "sole").fetchall()
    saw("odbc values", len(rows) == 2 and isinstance(rows[0].agent_id, int) and rows[0].occurred.year == 2026)
    count = cursor.execute("select count(*) from actions").fetchval()
    saw("odbc escapes", cursor.execute("select {fn ucase('a')}, {d '2026-01-02'}").fetchone()[0] == "A")
    try:
        cursor.execute("delete from actions")
        saw("odbc only reads", False)
    except pyodbc.Error as error:
        saw("odbc only reads", "this server only reads" in str(error))
    pieces = pyodbc.connect(where + ";UseDeclareFetch=1;Fetch=50;ReadOnly=1", autocommit=False)
    saw("odbc cursor", len(pieces.cursor().execute("select event_id from actions order by 1").fetchall()) == count)
    pieces.commit()


asyncio.run(of_asyncpg())
of_odbc()
