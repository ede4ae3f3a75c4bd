"""psycopg and SQLAlchemy against the postgres door, and what Grafana, DBeaver and JDBC look up.

Arguments: port, name, password. Prints one line for each thing that was seen to work.
"""
import datetime
import decimal
import sys
import threading
import time
import uuid

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
with other.cursor() as cursor:
    with cursor.copy("copy (select event_id as \"a,b\" from actions order by 1 limit 3) to stdout with (format csv, header)") as copy:
        lines = b"".join(copy).decode().splitlines()
    saw("copy with a header", lines == ['"a,b"'] + ids[:3] and cursor.rowcount == 3)
other.close()

# GUIDs as such, in both forms; parameters of functions and of limits; statements that SQL prepares.
guid = uuid.UUID("5b000000-0000-4000-8000-000000001001")
for cursor in (own.cursor(), own.cursor(binary=True)):
    told = cursor.execute("select %s = %s, count(*) from actions where event_id = %s", (guid, str(guid), guid)).fetchone()
    saw("guids", told == (True, 0))
saw("a text that looks like a list", own.execute("select %s", ('{"a": 1}',)).fetchone() == ('{"a": 1}',))
saw("lists", own.execute("select %s::text[], %s::int[]", (["a", 'b"c,d'], [1, 2])).fetchone() == (["a", 'b"c,d'], [1, 2]))
exact = own.execute("select event_id from actions limit 1").fetchone()[0]
found = own.execute("select count(*) from actions where event_id = any(%s) or event_id = any(%t)", ([uuid.UUID(exact)], [uuid.UUID(exact)])).fetchone()
saw("lists of guids", found == (1,))
odd = ["", "NULL", None, " a ", 'b"c,{d}']
saw("odd lists", own.execute("select %t::text[]", (odd,)).fetchone()[0] == odd)
saw("a time without seconds", own.execute("select count(*) > 0 from actions where occurred > %s", ("2026-01-01 10:00",)).fetchone() == (True,))
saw("a numeric", own.execute("select count(*) from actions where agent_id = %s", (decimal.Decimal("200000.5"),)).fetchone() == (0,))
saw("a parameter of a function", own.execute("select count(*) from trace(%s)", (ids[0],)).fetchone()[0] > 0)
saw("a parameter of a limit", len(own.execute("select 1 from actions limit %s offset %s", (2, 1)).fetchall()) == 2)
own.execute("prepare one (text) as select count(*) > 0 as some from actions where event_id = $1")
saw("prepare", own.execute(f"execute one('{ids[0]}')").fetchone() == (True,))
own.execute("deallocate one")

# What an answer calls its columns, and what means something else to the engine.
cursor = own.execute("select count(*), count(*), max(occurred)::text, 1 from actions")
saw("names", [column.name for column in cursor.description] == ["count", "count", "max", "?column?"])
saw("order by a cast", own.execute("select occurred::text from actions order by occurred limit 1").fetchone()[0].startswith("20"))
saw("the name of an aggregate", own.execute("select t.max from (select max(occurred) from actions) t").fetchone()[0] is not None)
day = own.execute("select to_char(timestamp '2026-03-05 14:07:09', 'YYYY-MM-DD HH24:MI')").fetchone()
saw("to_char", day == ("2026-03-05 14:07",))
saw("a list of a query", own.execute("select array(select grade from actions where grade = 'sole' limit 2)").fetchone()[0] == ["sole", "sole"])
saw("exists", own.execute("select exists (select 1 from actions), not exists (select 1 from actions)").fetchone() == (True, False))
for sql in ("set timezone = 'Europe/Berlin'", "set search_path = lake", "select 1 from actions tablesample system (1)"):
    try:
        own.execute(sql)
        saw(sql, False)
    except psycopg.Error as error:
        saw("refused", "failed to" in str(error))
begun = psycopg.connect(where + " options='-c statement_timeout=300ms' application_name=peer")
saw("what is set as it connects", begun.execute("show statement_timeout").fetchone() == ("300ms",) and begun.execute("show application_name").fetchone() == ("peer",))
begun.close()

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
    "npgsql types": "SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid FROM ( SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind, elemtyp.oid AS elemtypoid, elemtyp.typname AS elemtypname, elemcls.relkind AS elemrelkind, CASE WHEN elemproc.proname='array_recv' THEN 'a' ELSE elemtyp.typtype END AS elemtyptype FROM ( SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid, CASE WHEN proc.proname='array_recv' THEN 'a' ELSE typ.typtype END AS typtype, CASE WHEN proc.proname='array_recv' THEN typ.typelem WHEN typ.typtype='r' THEN rngsubtype WHEN typ.typtype='m' THEN (SELECT rngtypid FROM pg_range WHERE rngmultitypid = typ.oid) WHEN typ.typtype='d' THEN typ.typbasetype END AS elemtypoid FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid) LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive LEFT JOIN pg_range ON (pg_range.rngtypid = typ.oid) ) AS typ LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = elemtypoid LEFT JOIN pg_class AS elemcls ON (elemcls.oid = elemtyp.typrelid) LEFT JOIN pg_proc AS elemproc ON elemproc.oid = elemtyp.typreceive ) AS t JOIN pg_namespace AS ns ON (ns.oid = typnamespace) WHERE typtype IN ('b', 'r', 'm', 'e', 'd') OR (typtype = 'c' AND relkind='c') OR (typtype = 'p' AND typname IN ('record', 'void')) OR (typtype = 'a' AND ( elemtyptype IN ('b', 'r', 'm', 'e', 'd') OR (elemtyptype = 'p' AND elemtypname IN ('record', 'void')) OR (elemtyptype = 'c' AND elemrelkind='c') )) ORDER BY CASE WHEN typtype IN ('b', 'e', 'p') THEN 0 WHEN typtype = 'c' THEN 1 WHEN typtype = 'r' THEN 2 WHEN typtype = 'm' THEN 3 WHEN typtype = 'd' AND elemtyptype <> 'a' THEN 4 WHEN typtype = 'a' THEN 5 WHEN typtype = 'd' AND elemtyptype = 'a' THEN 6 END",
    "jdbc and psql types": "SELECT t.typname, t.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON (t.typnamespace = n.oid) WHERE n.nspname != 'pg_toast' AND (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid))",
    "power bi tables": "select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE from INFORMATION_SCHEMA.tables where TABLE_SCHEMA not in ('information_schema', 'pg_catalog') order by TABLE_SCHEMA, TABLE_NAME",
    "power bi columns": "select COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE, case when (data_type like '%unsigned%') then DATA_TYPE || ' unsigned' else DATA_TYPE end as DATA_TYPE from INFORMATION_SCHEMA.columns where TABLE_SCHEMA = 'public' and TABLE_NAME = 'actions' order by TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
    "power bi keys": "select i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME as INDEX_NAME, ii.COLUMN_NAME, ii.ORDINAL_POSITION, case when i.CONSTRAINT_TYPE = 'PRIMARY KEY' then 'Y' else 'N' end as PRIMARY_KEY from INFORMATION_SCHEMA.table_constraints i inner join INFORMATION_SCHEMA.key_column_usage ii on i.CONSTRAINT_SCHEMA = ii.CONSTRAINT_SCHEMA and i.CONSTRAINT_NAME = ii.CONSTRAINT_NAME and i.TABLE_SCHEMA = ii.TABLE_SCHEMA and i.TABLE_NAME = ii.TABLE_NAME where i.TABLE_SCHEMA = 'public' and i.TABLE_NAME = 'actions' and i.CONSTRAINT_TYPE in ('PRIMARY KEY', 'UNIQUE') order by i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME, ii.ORDINAL_POSITION",
}.items():
    found = own.execute(sql).fetchall()
    saw(tool, tool in ("grafana timescale", "power bi keys") or len(found) > 0)
types = dict(own.execute("select column_name, data_type from information_schema.columns where table_schema = 'public' and table_name = 'actions'").fetchall())
said = [types[name].split()[0] for name in ("occurred", "agent_id", "blind", "evidence")]
saw("types in the standard's words", said == ["timestamp", "bigint", "boolean", "text"])
tables = dict(own.execute("select table_schema || '.' || table_name, table_type from information_schema.tables").fetchall())
saw("views and tables", (tables["public.actions"], tables["lake.events"]) == ("VIEW", "BASE TABLE"))

engine = sqlalchemy.create_engine(f"postgresql+psycopg://{name}:{password}@127.0.0.1:{port}/agentrail")
look = sqlalchemy.inspect(engine)
saw("sqlalchemy views", "actions" in look.get_view_names() and "events" in look.get_table_names(schema="lake"))
columns = {column["name"]: str(column["type"]) for column in look.get_columns("agents_now")}
saw("sqlalchemy columns", columns["agent_id"] == "BIGINT")
table = sqlalchemy.Table("jobs", sqlalchemy.MetaData(), autoload_with=engine)
names = [column.name for column in table.columns]
saw("sqlalchemy table", "request_id" in names and len(names) == len(set(names)) == len(own.execute("select * from jobs limit 0").description))
with engine.connect() as connection:
    count = connection.execute(sqlalchemy.text("select count(*) from actions where grade = :grade"), {"grade": "sole"})
    saw("sqlalchemy query", count.scalar() > 0)
