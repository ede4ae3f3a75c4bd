"""What is exported, read as its receivers read it.

Argument: a folder with `SHAPE.ndjson`, the bodies of each shape, and `cef.txt` and `leef.txt`, the messages of
syslog without its header. Prints one line for each thing that was seen to hold.

OCSF 1.8.0 is held against the schema itself (ocsf-json-schema). There is no such package of 1.9.0: it is held
against 1.8.0 with what 1.9.0 adds to it where we use it. CEF is compared byte for byte with cefevent, log
records become those of opentelemetry-proto. ECS, LEEF, HEC and Sentinel have no validator to install: what is
held against them here is written from their documentation.
"""
import base64
import collections
import copy
import datetime
import ipaddress
import json
import pathlib
import re
import sys

import cefevent.extensions
from cefevent import CEFEvent
from google.protobuf.json_format import ParseDict
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

folder = pathlib.Path(sys.argv[1])
EVENTS = ["plain", "hec", "sentinel", "ecs", "cef", "leef", "otlp", "ocsf", "ocsf19"]


def bodies(name):
    with open(folder / f"{name}.ndjson", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def lines(name):
    # Not splitlines(), which also breaks at characters that are none for a receiver.
    return (folder / name).read_bytes().decode("utf-8").rstrip("\n").split("\n")


def saw(what, right, detail=""):
    assert right, f"{what}: {detail}"
    print(what)


def leaves(value, path=""):
    """Each value that is no object, with its dotted path; those of a list have the path of the list."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, path)
    else:
        yield path, value


def moment(text):
    return isinstance(text, str) and datetime.datetime.fromisoformat(text).tzinfo is not None


def address(text):
    return bool(ipaddress.ip_address(text))


events = {name: bodies(name) for name in EVENTS}
findings = {name: bodies(f"{name}_finding") for name in EVENTS}

# Nothing is lost, and all shapes say the same of who acted.
for kind, all_of in (("events", events), ("findings", findings)):
    counts = {name: len(rows) for name, rows in all_of.items()}
    saw(f"{counts['plain']} {kind} in each shape", len(set(counts.values())) == 1 and counts["plain"] > 0, counts)

SAYS = ["key", "updated", "executor", "grade", "agent_name", "agent_id", "candidate_count"]


def said(shape, row):
    if shape == "plain":
        own = row
    elif shape == "hec":
        event = row["event"]
        own = {**event, **event["verdict"], **{f"agent_{k}": v for k, v in event.get("agent", {}).items()}}
    elif shape == "sentinel":
        own = {re.sub("(?<!^)([A-Z])", r"_\1", k).lower(): v for k, v in row.items()}
    elif shape == "ecs":
        ours = row["azuredevops"]
        own = {**ours, **ours["verdict"], **{f"agent_{k}": v for k, v in ours.get("agent", {}).items()}}
    elif shape == "cef":
        own = {row[f"{k}Label"]: row[k] for k in row if f"{k}Label" in row}
        own = {"key": row["externalId"], "updated": "reason" in row, "executor": own.get("executor"), "grade": own.get("grade"),
               "agent_name": own.get("agentName"), "agent_id": own.get("agentId"), "candidate_count": own["candidateCount"]}
    elif shape == "leef":
        own = {re.sub("([A-Z])", r"_\1", k).lower(): v for k, v in row.items()}
    elif shape == "otlp":
        own = {k.removeprefix("azuredevops."): v for k, v in row["attributes"].items()}
        worker = own.get("cicd.worker.id")
        own |= {"key": own["log.record.uid"], "agent_name": own.get("cicd.worker.name"), "agent_id": worker and int(worker)}
    else:
        data = {k: v for e in row["enrichments"] for k, v in e["data"].items()}
        own = {**data["verdict"], **{f"agent_{k}": v for k, v in data.get("agent", {}).items()}}
    return tuple(own.get(name) for name in SAYS)


truth = {row["key"]: said("plain", row) for row in events["plain"]}
assert len(truth) == len(events["plain"]), "keys are not unique"
for name in EVENTS:
    for row in events[name]:
        own = said(name, row)
        # CEF cuts what is longer than its dictionary allows.
        want = tuple(v[:4000] if name == "cef" and isinstance(v, str) else v for v in truth[own[0]])
        assert own == want, f"{name}: {own} instead of {want}"
saw("the same verdict in each shape", True)
updates = sum(1 for row in events["plain"] if row["updated"])
print(f"{updates} are updates")


# OCSF.
def next_version():
    schema = copy.deepcopy(get_ocsf_schema("1.8.0"))
    optional = {"requirement": "optional", "caption": "", "type": "object_t"}
    schema["objects"]["actor"]["attributes"]["application"] = {**optional, "object_type": "application"}
    group = schema["classes"]["group_management"]["attributes"]
    group["users"] = {**optional, "object_type": "user", "is_array": True}
    group["activity_id"]["enum"]["9"] = {"caption": "Update"}
    group["type_uid"]["enum"]["300609"] = {"caption": "Group Management: Update"}
    return schema


def ocsf(name, version, schema):
    schema = OcsfJsonSchemaEmbedded(schema)
    validators = {}
    classes = collections.Counter()
    for row in events[name] + findings[name]:
        kind = (row["class_uid"], *row["metadata"]["profiles"])
        if kind not in validators:
            own = schema.get_class_schema(schema.lookup_class_name_from_uid(kind[0]), list(kind[1:]))
            validators[kind] = Draft202012Validator(own)
        errors = [f"{list(e.absolute_path)}: {e.message[:300]}" for e in validators[kind].iter_errors(row)]
        assert not errors, f"{name}: {errors} in {json.dumps(row)[:3000]}"
        assert row["metadata"]["version"] == version
        assert row["type_uid"] == row["class_uid"] * 100 + row["activity_id"]
        assert row["activity_id"] != 99 or row["activity_name"]
        classes[kind[0]] += 1
    saw(f"OCSF {version}: {dict(classes)}, no errors", set(classes) == {6003, 3006, 2004}, classes)


ocsf("ocsf", "1.8.0", get_ocsf_schema("1.8.0"))
ocsf("ocsf19", "1.9.0", next_version())

# ECS: types of its fields (elastic.co/docs/reference/ecs), and which types of events its categories expect.
KEYWORD, TEXT, DATE, IP, LONG = "keyword", "text", "date", "ip", "long"
FIELDS = {
    "@timestamp": DATE, "message": TEXT, "ecs.version": KEYWORD, "tags": KEYWORD,
    "event.id": KEYWORD, "event.kind": KEYWORD, "event.module": KEYWORD, "event.dataset": KEYWORD, "event.provider": KEYWORD,
    "event.action": KEYWORD, "event.category": KEYWORD, "event.type": KEYWORD, "event.outcome": KEYWORD, "event.severity": LONG,
    "event.created": DATE, "event.hash": KEYWORD,
    "user.id": KEYWORD, "user.name": KEYWORD, "user.full_name": KEYWORD, "user.email": KEYWORD,
    "user.target.id": KEYWORD, "user.target.full_name": KEYWORD, "group.id": KEYWORD, "group.name": KEYWORD,
    "source.ip": IP, "source.address": KEYWORD, "user_agent.original": KEYWORD, "http.request.id": KEYWORD,
    "organization.id": KEYWORD, "organization.name": KEYWORD, "cloud.provider": KEYWORD, "cloud.service.name": KEYWORD,
    "related.user": KEYWORD, "related.ip": IP, "related.hosts": KEYWORD, "rule.id": KEYWORD, "rule.name": KEYWORD,
    "threat.framework": KEYWORD, "threat.technique.id": KEYWORD,
}
EXPECTED = {
    "api": {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "intrusion_detection": {"allowed", "denied", "info"},
}
CHECKS = {
    KEYWORD: lambda v: isinstance(v, str), TEXT: lambda v: isinstance(v, str), DATE: moment, IP: address,
    LONG: lambda v: isinstance(v, int),
}
own_types = collections.defaultdict(set)
for row in events["ecs"] + findings["ecs"]:
    assert "agent" not in row, "agent.* is the shipper"
    for path, value in leaves(row):
        if path.startswith("azuredevops."):
            own_types[path].add(type(value))
        else:
            assert CHECKS[FIELDS[path]](value), f"ECS: {path} = {value!r}"
    assert row["event"]["kind"] in ("event", "alert") and row["event"].get("outcome", "unknown") in ("success", "failure", "unknown")
    for category in row["event"]["category"]:
        assert set(row["event"]["type"]) <= EXPECTED[category], row["event"]
saw(f"ECS: {len(FIELDS)} fields", True)
# An index gives a path the type of its first value and refuses records with another.
mixed = {path: types for path, types in own_types.items() if len(types) > 1}
saw(f"ECS: each of {len(own_types)} own fields has one type", not mixed, mixed)

# CEF. This key of its dictionary is not in that of cefevent.
DICTIONARY = cefevent.extensions.extension_dictionary
DICTIONARY["outcome"] = {"full_name": "eventOutcome", "data_type": ["String"], "length": 63, "description": ""}
CARRIAGE = "\ue000"
CONTROL = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def by_cefevent(body, version):
    cef = CEFEvent(strict=True)
    head = {"deviceVendor": "agentrail", "deviceProduct": "agentrail", "deviceVersion": version}
    head |= {"signatureId": body["signature"], "name": body["name"], "severity": body["severity"]}
    for name, value in head.items():
        cef.set_prefix(name, re.sub("[\x00-\x1f\x7f-\x9f]", " ", value) if isinstance(value, str) else value)
    for name, value in body.items():
        if name not in ("signature", "name", "severity") and value != "":
            # It knows no control characters and no carriage return.
            clean = CONTROL.sub(" ", value).replace("\r", CARRIAGE) if isinstance(value, str) else value
            # By the long name: by the short one it refuses a zero.
            cef.set_field(DICTIONARY[name]["full_name"], clean)
    return cef.build_cef().replace(CARRIAGE, "\\r")


def fields_of_cef(line):
    """As the specification has it: `|` and `\\` are escaped in the header, `=` and `\\` and line ends in values."""
    head = re.match(r"CEF:0((?:\|(?:[^|\\]|\\[|\\])*){6})\|", line)
    assert head, f"CEF: no header in {line[:300]}"
    values = {}
    rest = line[head.end():]
    starts = list(re.finditer(r"(?:^|(?<= ))([A-Za-z0-9_]+)=", rest))
    for start, end in zip(starts, starts[1:] + [None]):
        value = rest[start.end():end.start() - 1 if end else None]
        assert not re.search(r"(?<!\\)(?:\\\\)*=", value), f"CEF: a bare = in {value!r}"
        assert start[1] not in values, f"CEF: {start[1]} comes twice"
        values[start[1]] = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), value)
    header = [re.sub(r"\\(.)", r"\1", part) for part in re.findall(r"\|((?:[^|\\]|\\[|\\])*)", head[1])]
    return header, values


def cef_value(value):
    return CONTROL.sub(" ", value) if isinstance(value, str) else str(value)


cefs = {row.get("externalId") or row["cs2"]: row for row in events["cef"] + findings["cef"]}
messages = {}
for line in lines("cef.txt"):
    header, values = fields_of_cef(line)
    messages[values.get("externalId") or values["cs2"]] = (line, header, values)
saw("CEF: one line an item", set(messages) == set(cefs), (len(messages), len(cefs)))
version = line.split("|")[3]
same = 0
for key, (line, header, values) in messages.items():
    body = cefs[key]
    named = [re.sub("[\x00-\x1f\x7f-\x9f]", " ", str(body[k])) for k in ("signature", "name", "severity")]
    assert header == ["agentrail", "agentrail", version, *named], f"CEF: {header}"
    want = {k: cef_value(v) for k, v in body.items() if k not in ("signature", "name", "severity") and v != ""}
    assert values == want, f"CEF: {values} instead of {want}"
    assert len(body.get("externalId", "")) <= 40
    # It strips values; ours keep their blanks.
    if all(not isinstance(v, str) or cef_value(v).strip() == cef_value(v) for v in body.values()):
        theirs = by_cefevent(body, version)
        # rsyslog's parser loses the first letter behind the header's last `|` unless a blank is there.
        line = re.sub(r"^((?:[^|\\]|\\.)*(?:\|(?:[^|\\]|\\.)*){6}\|) ", r"\1", line)
        assert line == theirs, f"CEF:\n{line}\n{theirs}"
        same += 1
saw(f"CEF: {same} of {len(messages)} lines are cefevent's, byte for byte", same > 0)

# LEEF: values hold neither the delimiter nor line ends.
leefs = {row["key"]: row for row in events["leef"] + findings["leef"]}
found = set()
for line in lines("leef.txt"):
    assert not re.search("[\x00-\x08\x0a-\x1f\x7f]", line), f"LEEF: control characters in {line[:300]!r}"
    head, vendor, product, _, identity, delimiter, rest = line.split("|", 6)
    assert (head, vendor, product, delimiter) == ("LEEF:2.0", "agentrail", "agentrail", "x09"), line[:300]
    pairs = dict(pair.split("=", 1) for pair in rest.split("\t"))
    assert len(pairs) == rest.count("\t") + 1, "LEEF: a key comes twice"
    found.add(pairs["key"])
    body = leefs[pairs["key"]]
    plain = {k: str(v).lower() if isinstance(v, bool) else re.sub("[\x00-\x1f\x7f-\x9f]", " ", str(v)) for k, v in body.items()}
    plain["sev"] = plain.pop("severity")
    assert identity == plain.pop("signature").replace("|", " ")
    assert pairs == {k: v for k, v in plain.items() if v != ""}, f"LEEF: {pairs}"
    datetime.datetime.strptime(pairs["devTime"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert 0 <= int(pairs["sev"]) <= 10
saw("LEEF: one line an item, each key once, each value whole", found == set(leefs), (len(found), len(leefs)))

# HEC: what may stand beside the event, and that indexed fields are flat.
for row in events["hec"] + findings["hec"]:
    assert set(row) <= {"time", "host", "source", "sourcetype", "index", "event", "fields"}, set(row)
    assert isinstance(row["time"], float) and 1e9 < row["time"] < 1e10 and isinstance(row["event"], dict) and row["event"]
    assert all(isinstance(row[name], str) and row[name] for name in ("host", "source", "sourcetype"))
    for name, value in row["fields"].items():
        values = value if isinstance(value, list) else [value]
        assert all(isinstance(v, str) for v in values), f"HEC: {name} = {value!r}"
        assert name not in row["event"], f"HEC: {name} is indexed and extracted"
    when = datetime.datetime.fromisoformat(row["event"]["occurred"]).timestamp()
    assert abs(when - row["time"]) < 1e-5
saw("HEC: time, metadata and flat fields", True)

# Sentinel: names of columns, and that each has one type.
RESERVED = {"id", "_resourceid", "_subscriptionid", "tenantid", "type", "uniqueid", "title", "rawdata", "sourcesystem", "computer", "mg"}
for rows in (events["sentinel"], findings["sentinel"]):
    types = collections.defaultdict(set)
    for row in rows:
        assert moment(row["TimeGenerated"])
        for name, value in row.items():
            assert re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,44}", name) and name.lower() not in RESERVED, name
            types[name].add("dynamic" if isinstance(value, (dict, list)) else type(value))
    mixed = {name: kinds for name, kinds in types.items() if len(kinds) > 1 and name != "Data"}
    assert not mixed, f"Sentinel: {mixed}"
saw("Sentinel: names and types of columns", True)


# OpenTelemetry.
def typed(value):
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [typed(v) for v in value]}}
    assert isinstance(value, str), value
    return {"stringValue": value}


for row in events["otlp"] + findings["otlp"]:
    record = {**row, "body": typed(row["body"])}
    record["attributes"] = [{"key": k, "value": typed(v)} for k, v in row["attributes"].items()]
    if "traceId" in row:
        trace = bytes.fromhex(row["traceId"])
        assert len(trace) == 16 and any(trace)
        record["traceId"] = base64.b64encode(trace).decode()
    log = ParseDict(record, LogRecord())
    assert log.time_unix_nano and log.observed_time_unix_nano and 1 <= log.severity_number <= 24 and log.event_name
saw("OTLP: log records of opentelemetry-proto", True)
