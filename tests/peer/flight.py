"""ADBC and pyarrow against the Flight SQL door.

Arguments: what to try, the URI, and as JSON what else it takes. Prints one line for each thing that was seen to
work.
"""
import datetime
import json
import sys
import threading
import time

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow
import pyarrow.flight as flight
from adbc_driver_flightsql import ConnectionOptions, DatabaseOptions

what, uri, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
ENDLESS = "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 100000) b"


def saw(what, right, *said):
    assert right, (what, *said)
    print(what, flush=True)


def basic(name, password=None, **more):
    password = password or f"password of {name}"
    return adbc.connect(uri, db_kwargs={"username": name, "password": password, **more}, autocommit=True)


def bearer(token, **more):
    header = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}", **more}
    return adbc.connect(uri, db_kwargs=header, autocommit=True)


def rows(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        return cursor.execute(sql, parameters).fetchall()


def fails(run, *says):
    """What is said when it fails, which must hold these words."""
    try:
        run()
    except (adbc_driver_manager.Error, pyarrow.ArrowException, OSError) as error:
        said = str(error)
        assert all(word in said for word in says), (says, said)
        return said
    raise AssertionError(f"it did not fail: {says}")


# The messages of Flight SQL that no driver here sends, field by field.
def field(number, value):
    value = value.encode() if isinstance(value, str) else value
    length, head = len(value), bytes([number << 3 | 2])
    while length >= 0x80:
        head, length = head + bytes([length & 0x7F | 0x80]), length >> 7
    return head + bytes([length]) + value


def message(name, body=b""):
    return field(1, f"type.googleapis.com/arrow.flight.protocol.sql.{name}") + field(2, body)


def asks(name, body=b""):
    return flight.FlightDescriptor.for_command(message(name, body))


def client(**more):
    return flight.FlightClient(uri, **more)


def signed(name):
    own = client()
    return own, flight.FlightCallOptions(headers=[own.authenticate_basic_token(name, f"password of {name}")])


def try_asks():
    own = basic("ada")
    saw("sign in", rows(own, "select 1 as one") == [(1,)])
    with bearer("bearer of ada") as other:
        saw("token", rows(other, "select 'a' || 'b'") == [("ab",)])
    each = adbc.connect(uri, db_kwargs={DatabaseOptions.AUTHORIZATION_HEADER.value: "Basic YWRhOnBhc3N3b3JkIG9mIGFkYQ=="}, autocommit=True)
    saw("basic on each call", rows(each, "select 1") == [(1,)])
    since = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    found = rows(own, "select event_id, occurred, agent_id, missing, provisional from actions where agent_id is not null and occurred > ? limit ?", (since, 3))
    saw("parameters", len(found) == 3 and found[0][1].tzinfo is not None and isinstance(found[0][3], list) and isinstance(found[0][4], bool))
    saw("parameters by number", rows(own, "select cast($2 as bigint) - $1, $1", (1, 3)) == [(2, 1)])
    saw("a parameter as text", rows(own, "select grade from actions where grade = ? and 'what?' = 'what?' limit 1", ("sole",)) == [("sole",)])
    saw("null", rows(own, "select ? is null", (None,)) == [(True,)])
    with own.cursor() as cursor:
        cursor.execute("select 1").execute("select 2")
        saw("twice", cursor.fetchall() == [(2,)])
        saw("a schema before", [f.name for f in cursor.adbc_execute_schema("select agent_name, decided from actions")] == ["agent_name", "decided"])
        cursor.adbc_prepare("select ? + 1 as n")
        saw("prepared", [cursor.execute("select ? + 1 as n", (n,)).fetchone() for n in (1, 2)] == [(2,), (3,)])
    with own.cursor() as cursor:
        cursor.execute("select n, cast(n as text) || repeat('x', 100) as t from generate_series(1, 300000) t(n)")
        reader = cursor.fetch_record_batch()
        sizes = [(batch.num_rows, batch.nbytes) for batch in reader]
        saw("many rows in many parts", sum(n for n, _ in sizes) == 300_000 and len(sizes) > 10 and max(b for _, b in sizes) < 4 << 20, sizes[:3])
    with own.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions("select 7 as seven")
        cursor.adbc_read_partition(partitions[0])
        saw("partitions", cursor.fetchall() == [(7,)] and schema.names == ["seven"])
    table = own.cursor().execute("select * from actions limit 20").fetch_arrow_table()
    kinds = {str(f.type) for f in table.schema}
    saw("plain columns", table.num_rows == 20 and not any("view" in kind or "dictionary" in kind for kind in kinds), kinds)
    saw("nothing", rows(own, "select * from actions where false") == [])
    saw("explain", len(rows(own, "explain select 1")) > 0)
    try:
        import polars
        frame = polars.read_database("select grade, count(*) as n from actions group by 1 order by 1", own)
        saw("polars", frame.height > 2 and frame["n"].sum() == rows(own, "select count(*) from actions")[0][0])
    except ImportError:
        saw("polars", given.get("polars") is None)
    own.close()


def try_looks():
    own = basic("ada")
    depth = own.adbc_get_objects(depth="all").read_all().to_pylist()
    saw("one catalog", [one["catalog_name"] for one in depth] == ["agentrail"])
    schemas = {one["db_schema_name"]: one["db_schema_tables"] for one in depth[0]["catalog_db_schemas"]}
    saw("schemas", sorted(schemas) == ["lake", "public"], sorted(schemas))
    tables = {(schema, one["table_name"]): one for schema, all in schemas.items() for one in all}
    saw("tables", tables["public", "actions"]["table_type"] == "VIEW" and tables["lake", "events"]["table_type"] == "TABLE")
    columns = {one["column_name"]: one for one in tables["public", "agents_now"]["table_columns"]}
    saw("columns", columns["agent_id"]["ordinal_position"] >= 1, columns["agent_id"])
    saw("remarks", columns["agent_id"].get("remarks") in (None, "Agent id in its organisation."), columns["agent_id"])
    for level, inside in (("catalogs", "catalog_db_schemas"), ("db_schemas", "catalog_db_schemas"), ("tables", "catalog_db_schemas")):
        one = own.adbc_get_objects(depth=level).read_all().to_pylist()[0]
        saw(f"depth {level}", bool(one[inside]) == (level != "catalogs"))
    some = own.adbc_get_objects(depth="tables", db_schema_filter="pub%", table_name_filter="agents_n%", table_types_filter=["VIEW"]).read_all().to_pylist()
    some = [one["table_name"] for schema in some[0]["catalog_db_schemas"] for one in schema["db_schema_tables"]]
    saw("patterns", some == ["agents_now"], some)
    saw("of another catalog", own.adbc_get_objects(depth="tables", catalog_filter="other").read_all().num_rows == 0)
    schema = own.adbc_get_table_schema("events", db_schema_filter="lake")
    about = schema.field("action").metadata
    saw("a table's schema", "raw" in schema.names and about[b"ARROW:FLIGHT:SQL:TYPE_NAME"] == b"VARCHAR" and about[b"ARROW:FLIGHT:SQL:IS_READ_ONLY"] == b"1")
    saw("what a column is", len(about[b"ARROW:FLIGHT:SQL:REMARKS"]) > 5 and b"audit" in schema.metadata[b"ARROW:FLIGHT:SQL:REMARKS"])
    fails(lambda: own.adbc_get_table_schema("nothing"))
    saw("table types", own.adbc_get_table_types() == ["TABLE", "VIEW"])
    info = own.adbc_get_info()
    saw("info", info["vendor_name"] == "agentrail" and info["vendor_version"], info)
    saw("catalog and schema", (own.adbc_current_catalog, own.adbc_current_db_schema) == ("agentrail", "public"))
    fails(lambda: setattr(own, "adbc_current_catalog", "other"))
    own.close()

    # What the JDBC driver asks, in the messages that it sends.
    own, options = signed("ada")

    def looked_up(name, body=b""):
        descriptor = asks(name, body)
        info = own.get_flight_info(descriptor, options)
        table = own.do_get(info.endpoints[0].ticket, options).read_all()
        assert own.get_schema(descriptor, options).schema.equals(info.schema) and table.schema.equals(info.schema), (name, info.schema, table.schema)
        return table

    info = dict(zip(*looked_up("CommandGetSqlInfo").to_pydict().values()))
    saw("sql info", info[0] == "agentrail" and info[3] is True and info[8] == 0 and info[9] is True and info[504] == '"' and "LIMIT" in info[508], info)
    missing = [n for n in [*range(0, 6), *range(8, 12), *range(500, 517), *range(518, 570), *range(572, 577)] if n not in info]
    saw("everything that a driver asks for", missing == [], missing)
    saw("some info", looked_up("CommandGetSqlInfo", field(1, bytes([0, 3]))).num_rows == 2)
    saw("types", looked_up("CommandGetXdbcTypeInfo")["type_name"].to_pylist().count("VARCHAR") == 1)
    saw("one type", looked_up("CommandGetXdbcTypeInfo", b"\x08\x5d")["type_name"].to_pylist() == ["TIMESTAMP"])
    saw("catalogs", looked_up("CommandGetCatalogs").to_pylist() == [{"catalog_name": "agentrail"}])
    saw("db schemas", looked_up("CommandGetDbSchemas", field(2, "la%"))["db_schema_name"].to_pylist() == ["lake"])
    tables = looked_up("CommandGetTables", field(3, "%_now") + b"\x28\x01").to_pylist()
    inside = pyarrow.ipc.read_schema(pyarrow.py_buffer(tables[0]["table_schema"]))
    saw("tables with columns", [one["table_name"] for one in tables] == ["agents_now"] and "agent_id" in inside.names)
    keys = looked_up("CommandGetPrimaryKeys", field(3, "events"))
    saw("primary keys", keys.num_rows == 0 and keys.schema.names[-2:] == ["key_name", "key_sequence"])
    for name, body in (("ExportedKeys", field(3, "events")), ("ImportedKeys", field(3, "events")), ("CrossReference", field(3, "a") + field(6, "b"))):
        keys = looked_up(f"CommandGet{name}", body)
        saw(f"keys: {name}", keys.num_rows == 0 and len(keys.schema) == 13)
    names = {action.type for action in own.list_actions(options)}
    saw("actions", {"CreatePreparedStatement", "CancelFlightInfo", "CloseSession"} <= names)
    saw("no flights", list(own.list_flights(options=options)) == [])

    def act(name, body=b"", with_=options):
        return [result.body.to_pybytes() for result in own.do_action(flight.Action(name, body), with_)]

    saw("session options", act("SetSessionOptions", field(1, field(1, "catalog") + field(2, field(1, "agentrail")))) == [b""])
    wrong = act("SetSessionOptions", field(1, field(1, "catalog") + field(2, field(1, "other"))))
    saw("no other catalog", wrong[0].endswith(b"\x08\x02"), wrong)
    # A cookie of somebody else's is not heeded, and none is set.
    token = own.authenticate_basic_token("ada", "password of ada")
    cookie = flight.FlightCallOptions(headers=[token, (b"cookie", b"agentrail=0000; x=y")])
    saw("cookies", len(list(own.list_actions(cookie))) == len(names))
    saw("close session", act("CloseSession") == [b"\x08\x01"])
    fails(lambda: own.get_flight_info(asks("CommandGetCatalogs"), options), "failed to sign in")
    saw("and it is closed", True)


def try_refused():
    own = basic("ada")
    for sql in given["writes"]:
        said = fails(lambda: rows(own, sql), "failed to run the statement")
        assert "INVALID_ARGUMENT" in said or "InvalidArgument" in said, said
    saw("writes", True)
    with own.cursor() as cursor:
        for sql in ("insert into lake.events select 1", "create table x (a int)", "select 1"):
            fails(lambda: cursor.executescript(sql), "only reads")
            fails(lambda: cursor.executemany(sql, None), "only reads" if sql == "select 1" else "failed to")
        saw("scripts", True)
        table = pyarrow.table({"a": [1, 2, 3]})
        for mode in ("create", "append", "replace", "create_append"):
            fails(lambda: cursor.adbc_ingest("x", table, mode=mode), "only reads")
        saw("ingestion", True)
        fails(lambda: cursor.execute(b"a plan"))
        saw("substrait", True)
        fails(lambda: cursor.execute("select $who"), "by place")
        fails(lambda: cursor.execute("select ?", pyarrow.record_batch({"a": [1, 2]})), "bind one row")
        saw("parameters", True)
    saw("other than reading", "committed" not in fails(lambda: own._conn.set_autocommit(False)))

    own, options = signed("ada")

    def act(name, body=b""):
        return list(own.do_action(flight.Action(name, body), options))

    for name in ("BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint", "CreatePreparedSubstraitPlan"):
        fails(lambda: act(name, message(f"Action{name}Request")), "only reads")
    saw("transactions", True)
    fails(lambda: act("Reboot"), "no such action")
    for body in (b"", b"garbage", message("ActionCreatePreparedStatementRequest", b"\xff\xff"), message("CommandGetTables")):
        for name in ("CreatePreparedStatement", "ClosePreparedStatement", "CancelQuery"):
            fails(lambda: act(name, body), "failed to")
        fails(lambda: own.get_flight_info(flight.FlightDescriptor.for_command(body), options)) if b"GetTables" not in body else None
        fails(lambda: own.do_get(flight.Ticket(body), options).read_all()) if b"GetTables" not in body else None
    fails(lambda: own.get_flight_info(flight.FlightDescriptor.for_path("lake", "events"), options), "failed to")
    saw("garbage in messages", True)
    fails(lambda: own.get_flight_info(asks("CommandStatementQuery", field(1, "select 1 -- " + "x" * (2 << 20))), options), "too large")
    fails(lambda: rows(basic("ada"), "select '" + "x" * (2 << 20) + "'"), "too large")
    saw("a message that is too large", True)
    head = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer bearer of ada"), (b"x-large", b"x" * (64 << 10))])
    fails(lambda: own.get_flight_info(asks("CommandGetCatalogs"), head))
    saw("a head that is too large", True)
    statement = field(1, "select 1")

    def puts(descriptor, options=options, value=1):
        column = pyarrow.array([value])
        writer, reader = own.do_put(descriptor, pyarrow.schema([("a", column.type)]), options)
        writer.write_batch(pyarrow.record_batch({"a": column}))
        writer.done_writing()
        reader.read()
        writer.close()

    fails(lambda: puts(asks("CommandStatementUpdate", statement)), "only reads")
    fails(lambda: puts(asks("CommandStatementIngest", field(2, "x"))), "only reads")
    fails(lambda: puts(asks("CommandPreparedStatementUpdate", field(1, "handle"))), "only reads")
    fails(lambda: puts(asks("CommandPreparedStatementQuery", field(1, "handle"))), "failed to find the statement")
    fails(lambda: puts(asks("CommandGetTables")), "failed to")
    saw("puts", True)

    def exchange():
        writer, reader = own.do_exchange(asks("CommandStatementQuery", statement), options)
        writer.begin(pyarrow.schema([("a", pyarrow.int64())]))
        reader.read_chunk()

    fails(exchange, "only reads")
    saw("exchange", True)
    # What is for one person is for no other.
    eve, eves = signed("eve")
    info = own.get_flight_info(asks("CommandStatementQuery", field(1, "select 'of ada'")), options)
    ticket = info.endpoints[0].ticket
    fails(lambda: eve.do_get(ticket, eves).read_all(), "failed to find the statement")
    handle = list(own.do_action(flight.Action("CreatePreparedStatement", message("ActionCreatePreparedStatementRequest", field(1, "select 'of ada'"))), options))[0].body.to_pybytes()
    handle = handle[handle.index(b"ActionCreatePreparedStatementResult") + 35 :]
    handle = handle[handle.index(b"\x0a\x18") + 2 :][:24]
    fails(lambda: eve.get_flight_info(asks("CommandPreparedStatementQuery", field(1, handle)), eves), "failed to find the statement")
    list(eve.do_action(flight.Action("ClosePreparedStatement", message("ActionClosePreparedStatementRequest", field(1, handle))), eves))
    list(eve.do_action(flight.Action("CancelFlightInfo", field(1, info.serialize())), eves))
    saw("the ticket of another person", own.do_get(ticket, options).read_all().num_rows == 1)
    fails(lambda: own.do_get(ticket, options).read_all(), "failed to find the statement")
    saw("a ticket once", True)
    again = own.get_flight_info(asks("CommandPreparedStatementQuery", field(1, handle)), options)
    token = own.authenticate_basic_token("ada", "password of ada")
    for codec in ("lz4", "zstd"):
        packed = flight.FlightCallOptions(headers=[token], write_options=pyarrow.ipc.IpcWriteOptions(compression=codec))
        fails(lambda: puts(asks("CommandPreparedStatementQuery", field(1, handle)), packed, "x" * 100_000), "without compression")
    saw("values that are compressed", True)
    saw("a prepared statement again", own.do_get(again.endpoints[0].ticket, options).read_all().num_rows == 1)
    saw("well afterwards", rows(basic("ada"), "select 1") == [(1,)])


def try_strangers():
    wrong = fails(lambda: basic("ada", "password of eve"), "name or password is wrong")
    unknown = fails(lambda: basic("nobody", "password of eve"), "name or password is wrong")
    assert wrong.replace("ada", "nobody") == unknown, (wrong, unknown)
    saw("wrong passwords", "UNAUTHENTICATED" in wrong.upper())
    fails(lambda: rows(bearer("bearer of nobody"), "select 1"), "failed to sign in")
    fails(lambda: rows(adbc.connect(uri, autocommit=True), "select 1"), "failed to sign in")
    own = client()
    for said in (b"", b"Bearer", b"Bearer ", b"Basic !!!", b"Basic bm9uZQ==", b"Digest x"):
        call = flight.FlightCallOptions(headers=[(b"authorization", said)])
        for ask in (
            lambda: own.get_flight_info(asks("CommandGetCatalogs"), call),
            lambda: own.get_schema(asks("CommandGetCatalogs"), call),
            lambda: own.do_get(flight.Ticket(message("CommandGetCatalogs")), call).read_all(),
            lambda: list(own.do_action(flight.Action("GetSessionOptions", b""), call)),
            lambda: list(own.list_actions(call)),
            lambda: list(own.list_flights(options=call)),
        ):
            fails(ask)
    saw("strangers", True)
    first = basic("rita")
    saw("a token of a handshake", rows(first, "select 1") == [(1,)])
    print("ready", flush=True)
    sys.stdin.readline()
    # Meanwhile rita has another password, and ned is out.
    fails(lambda: rows(first, "select 1"), "failed to sign in")
    fails(lambda: rows(bearer("bearer of ned"), "select 1"), "failed to sign in")
    saw("another password ends what was signed in with the one before", rows(basic("rita", "another"), "select 1") == [(1,)])
    for n in range(12):
        said = fails(lambda: basic("eve", f"guess {n}"))
    saw("guesses are few", "too many wrong names or passwords" in said, said)
    saw("tokens are no guesses", rows(bearer("bearer of eve"), "select 1") == [(1,)])


def try_bounds():
    own = basic("ada")
    since = time.monotonic()
    cursor = own.cursor()
    threading.Timer(1.0, cursor.adbc_cancel).start()
    fails(lambda: cursor.execute(ENDLESS).fetchall(), "ancel")
    saw("cancel", rows(own, "select 1") == [(1,)])
    with own.cursor() as cursor:
        cursor.adbc_statement.set_options(**{ConnectionOptions.TIMEOUT_FETCH.value: 1.0})
        fails(lambda: cursor.execute(ENDLESS).fetchall(), "eadline")
    saw("the time of the client", True)
    fails(lambda: rows(own, ENDLESS), "failed to answer within")
    saw("the time of the server", rows(own, "select 1") == [(1,)])
    bomb = "select array_agg(repeat('x', 10000)) from generate_series(1, 100000)"
    fails(lambda: rows(own, bomb), "failed to stay within the memory of a query")
    saw("memory", rows(own, "select 1") == [(1,)])
    many = "select * from generate_series(1, 200000)"
    fails(lambda: own.cursor().execute(many).fetch_arrow_table(), "failed to send more than 100000 rows")
    saw("rows", True)

    own, options = signed("ada")
    info = own.get_flight_info(asks("CommandStatementQuery", field(1, "select repeat('x', 1000) from generate_series(1, 90000)")), options)
    reader = own.do_get(info.endpoints[0].ticket, options)
    reader.read_chunk()
    stopped = [one.body.to_pybytes() for one in own.do_action(flight.Action("CancelFlightInfo", field(1, info.serialize())), options)]

    def rest():
        while True:
            reader.read_chunk()

    fails(rest, "cancelled")
    saw("cancel by its info", stopped == [b"\x08\x01"], stopped)

    def is_gone():
        late = own.do_action(flight.Action("CancelFlightInfo", field(1, info.serialize())), options)
        return [one.body.to_pybytes() for one in late] == [b"\x08\x03"]

    saw("there is nothing left to cancel", any(is_gone() or time.sleep(0.1) for _ in range(50)))
    # Readers that leave give their places back.
    for _ in range(6):
        info = own.get_flight_info(asks("CommandStatementQuery", field(1, "select repeat('x', 1000) from generate_series(1, 90000)")), options)
        reader = own.do_get(info.endpoints[0].ticket, options)
        reader.read_chunk()
        reader.cancel()
    saw("readers that leave", rows(basic("ada"), "select 1") == [(1,)])
    # Too many at once are told so, others are not held up.
    held = []
    for _ in range(4):
        info = own.get_flight_info(asks("CommandStatementQuery", field(1, "select repeat('x', 1000) from generate_series(1, 90000)")), options)
        held.append(own.do_get(info.endpoints[0].ticket, options))
        held[-1].read_chunk()
    info = own.get_flight_info(asks("CommandStatementQuery", field(1, "select 1")), options)
    fails(lambda: own.do_get(info.endpoints[0].ticket, options).read_all(), "queries of this person run already")
    saw("too many at once", rows(basic("eve"), "select 1") == [(1,)])
    for reader in held:
        reader.cancel()
    saw("well afterwards", rows(basic("ada"), "select 1") == [(1,)])


def all_none(lists):
    return all(item["agent_id"] is None and "in all" in item["why"] for one, in lists for item in one)


def try_scope():
    all, some, none = basic("ada"), basic("rita"), basic("otto")
    projects = "select distinct project_id from lake.events union select distinct project_id from jobs union select distinct project_id from lake.facts"
    saw("rows of a project alone", rows(some, projects) == [(given["project"],)] and len(rows(all, projects)) > 1)
    for sql in given["hidden"]:
        assert rows(none, sql)[0][0] == 0, sql
        assert rows(all, sql)[0][0] > 0, f"{sql} shows nothing to anybody"
    saw("nothing of another organisation", True)
    masked = rows(some, "select count(raw), count(data), count(authorization_id), count(*) from lake.events")[0]
    saw("masks", masked[:3] == (0, 0, 0) and masked[3] > 0, masked)
    by = "select count(*) from lake.events where raw is not null and action <> ?"
    saw("masked by a parameter", rows(some, by, ("",)) == [(0,)] and rows(all, by, ("",))[0][0] > 0)
    lists = rows(some, "select candidates from actions where array_length(candidates) > 0 limit 5")
    saw("lists are counts", lists and [len(one) for one, in lists] == [1] * len(lists) and all_none(lists))
    own = basic("rita")
    saw("their own questions", {row[0] for row in rows(own, "select distinct person from queries_log")} <= {"rita"})
    saw("what there is to look up", own.adbc_get_table_schema("events", db_schema_filter="lake").field("raw").nullable)


def try_once():
    """One question, over TLS or not."""
    more = {key: value for key, value in given.items() if key.startswith("adbc")}
    print(rows(basic(given["name"], **more), given["sql"]), flush=True)


def try_tokens():
    """What each token comes to, as JSON: rows, or what is said."""
    for case in given["cases"]:
        try:
            print(json.dumps(rows(bearer(case["token"]), case["sql"])), flush=True)
        except adbc_driver_manager.Error as error:
            print(json.dumps(str(error)), flush=True)


def try_hold():
    """Places are held until told."""
    more = {key: value for key, value in given.items() if key.startswith("adbc")}
    held = [basic("ada", **more) for _ in range(given["count"])]
    print(sum(rows(one, "select 1")[0][0] for one in held), flush=True)
    sys.stdin.readline()


globals()[f"try_{what}"]()
sys.stdout.flush()
