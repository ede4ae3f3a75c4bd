"""Which records Sigma rules match, by pySigma and its backend for SQLite: sigma_rules.py RULES RECORDS.

RULES is a folder of *.yml, RECORDS a file of one audit record a line. Prints one JSON object: by the stem of the
file the ids of the records, sorted.
"""

import json
import pathlib
import re
import sqlite3
import sys

from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

rules, records = sys.argv[1:]
rows = []
for line in open(records, encoding="utf-8"):
    record = json.loads(line)
    data = record.pop("Data", {})
    row = {name: value for name, value in record.items() if isinstance(value, str)}
    row.update({f"Data.{name}": value for name, value in data.items()})
    rows.append(row)
columns = sorted({name for row in rows for name in row})
lake = sqlite3.connect(":memory:")
lake.create_function("REGEXP", 2, lambda pattern, text: text is not None and re.search(pattern, str(text)) is not None)
# Sigma compares without regard to case; SQLite does so where a column says it.
lake.execute("create table logs (" + ", ".join(f'"{c}" text collate nocase' for c in columns) + ")")
for row in rows:
    lake.execute(f"insert into logs values ({', '.join('?' * len(columns))})", [row.get(c) for c in columns])
out = {}
for path in sorted(pathlib.Path(rules).glob("*.yml")):
    (query,) = sqliteBackend().convert(SigmaCollection.from_yaml(path.read_text(encoding="utf-8")))
    found = lake.execute(query.replace("SELECT *", 'SELECT "Id"', 1)).fetchall()
    out[path.stem] = sorted(row[0] for row in found)
print(json.dumps(out))
