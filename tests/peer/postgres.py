"""psycopg and SQLAlchemy against the postgres door, and what Grafana, DBeaver and JDBC look up.

Arguments: port, name, password. Prints one line for each thing that was seen to work.
"""
import datetime
import sys
import threading
import time

import psycopg
import sqlalchemy

port, name, password = sys.argv[1:4]
where = f"host=127.0.0.1 port={port} user={name} dbname=agentrail password='{password}'"
own = psycopg.connect(where, autocommit=True)


def saw(what, right):
    assert right, what
    print(what)


# Parameters, text and binary.
rows = own.execute(
    "select event_id, occurred, agent_id, missing, provisional from actions where agent_id is not null and occurred > %s limit %s",
    (datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), 3),
).fetchall()
saw("parameters", len(rows) == 3 and isinstance(rows[0][2], int) and isinstance(rows[0][3], list))
binary = own.cursor(binary=True).execute("select occurred, agent_id, 1.5::float8, true, null from actions where agent_id = %s limit 1", (rows[0][2],)).fetchone()
saw("binary", binary[0].tzinfo is not None and binary[1:] == (rows[0][2], 1.5, True, None))
saw("any", own.execute("select count(*) from actions where grade = any(%s)", (["exact", "sole"],)).fetchone()[0] > 0)
saw("who", own.execute("select current_user, current_database()").fetchone() == (name, "agentrail"))

# Cancel stops the work, not only the wait: the next question is answered at once.
threading.Timer(0.5, own.cancel).start()
since = time.monotonic()
try:
    own.execute("select count(*) from generate_series(1, 1000000000) a, generate_series(1, 100000) b")
    saw("cancel", False)
except psycopg.errors.QueryCanceled:
    saw("cancel", own.execute("select 1").fetchone() == (1,) and time.monotonic() - since < 30)
own.execute("set statement_timeout = '300ms'")
try:
    own.execute("select count(*) from generate_series(1, 1000000000) a, generate_series(1, 100000) b")
    saw("timeout", False)
except psycopg.errors.QueryCanceled as error:
    saw("timeout", "300ms" in str(error))
own.execute("reset statement_timeout")

# A cursor on the server, and a copy.
other = psycopg.connect(where)
with other.cursor("piece") as cursor:
    cursor.itersize = 50
    cursor.execute("select event_id from actions where occurred > %s order by 1", ("2026-01-01",))
    ids = [row[0] for row in cursor]
saw("cursor", len(ids) == own.execute("select count(*) from actions").fetchone()[0] and ids == sorted(ids))
with other.cursor().copy("copy (select event_id, grade from actions order by 1 limit 3) to stdout") as copy:
    saw("copy", [row[0] for row in copy.rows()] == ids[:3])
other.close()

# What tools look up before they ask.
for tool, sql in {
    "grafana version": "SELECT current_setting('server_version_num')::int/100 as version",
    "grafana timescale": "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'",
    "grafana columns": "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns WHERE quote_ident(table_name) = 'actions'",
    "grafana series": "SELECT date_trunc('hour', occurred) AS \"time\", grade AS metric, count(*) AS value FROM actions WHERE occurred BETWEEN '2026-03-01T00:00:00Z' AND '2026-03-31T00:00:00Z' GROUP BY 1,2 ORDER BY 1",
    "dbeaver databases": "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE 1 = 1 AND datallowconn AND NOT datistemplate OR db.datname='agentrail' ORDER BY db.datname",
    "dbeaver schemas": "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname",
    "dbeaver settings": "select * from pg_catalog.pg_settings where name='standard_conforming_strings'",
    "dbeaver types": "SELECT t.oid,t.*,c.relkind,format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name, d.description FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid=t.typelem LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid=t.typrelid LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid=d.objoid WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C')",
    "dbeaver columns": "SELECT c.relname,a.*,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid) LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum) LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) WHERE NOT a.attisdropped AND c.relname='actions' ORDER BY a.attnum",
    "jdbc types": "SELECT typinput='pg_catalog.array_in'::regproc as is_array, typtype, typname, pg_type.oid FROM pg_catalog.pg_type LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r from pg_namespace as ns join ( select s.r, (current_schemas(false))[s.r] as nspname from generate_series(1, array_upper(current_schemas(false), 1)) as s(r) ) as r using ( nspname )) as sp ON sp.nspoid = typnamespace WHERE pg_type.oid = 1043 ORDER BY sp.r, pg_type.oid DESC",
}.items():
    found = own.execute(sql).fetchall()
    saw(tool, tool == "grafana timescale" or len(found) > 0)

engine = sqlalchemy.create_engine(f"postgresql+psycopg://{name}:{password}@127.0.0.1:{port}/agentrail")
look = sqlalchemy.inspect(engine)
saw("sqlalchemy views", "actions" in look.get_view_names() and "events" in look.get_table_names(schema="lake"))
columns = {column["name"]: str(column["type"]) for column in look.get_columns("agents_now")}
saw("sqlalchemy columns", columns["agent_id"] == "BIGINT")
with engine.connect() as connection:
    count = connection.execute(sqlalchemy.text("select count(*) from actions where grade = :grade"), {"grade": "sole"})
    saw("sqlalchemy query", count.scalar() > 0)
