"""Elasticsearch's `_bulk` into data streams, as strict as a cluster of version 8.

Settings: `api_key` (as `id:key`), `user`, `password`, `most` (bytes of a body), `streams` (patterns of data streams).
A field keeps the type that its first value had, `@timestamp` and what ends in `.created` are dates, what ends in `.ip` addresses.
"""
import base64
import fnmatch
import ipaddress
import json
import re

from server import Reply, Service

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)")
DATES = {"@timestamp", "event.created", "event.ingested", "event.start", "event.end"}
MEDIA = {"application/x-ndjson", "application/json", "application/vnd.elasticsearch+x-ndjson", "application/vnd.elasticsearch+json"}


def error(status, kind, reason):
    cause = {"type": kind, "reason": reason}
    return Reply(status, {"error": {"root_cause": [cause], **cause}, "status": status})


class Elastic(Service):
    name = "elastic"
    settings = {
        "api_key": "id-of-the-key:secret-of-the-key", "user": "elastic", "password": "changeme", "most": 100 << 20,
        "streams": ["logs-*-*"], "fields": 1000,
    }

    def __init__(self, *own):
        super().__init__(*own)
        self.types = {}

    def takes(self, path):
        return path in ("/", "/_bulk", "/_cluster/health") or path.endswith("/_bulk")

    def answer(self, exchange):
        reply = self.reply(exchange)
        reply.headers["X-Elastic-Product"] = "Elasticsearch"
        if "vnd.elasticsearch" in (exchange.headers.get("Accept") or ""):
            reply.headers["Content-Type"] = "application/vnd.elasticsearch+json;compatible-with=8"
        return reply

    def reply(self, exchange):
        if not self.signed_in(exchange):
            return error(401, "security_exception", "unable to authenticate with provided credentials")
        if exchange.path == "/":
            return Reply(200, {"name": "double", "cluster_name": "double", "version": {"number": "8.19.0", "build_flavor": "default"}, "tagline": "You Know, for Search"})
        if not exchange.path.endswith("/_bulk"):
            return Reply(200, {"status": "green"})
        if exchange.method not in ("POST", "PUT"):
            return error(405, "method_not_allowed", f"Incorrect HTTP method for uri [/_bulk] and method [{exchange.method}]")
        if exchange.media() not in MEDIA:
            return error(406, "media_type_header_exception", f"Content-Type header [{exchange.headers.get('Content-Type')}] is not supported")
        if len(exchange.raw) > self.settings["most"] or len(exchange.body) > self.settings["most"]:
            return Reply(413, b"")
        if exchange.damaged:
            return error(400, "zip_exception", exchange.damaged)
        if not exchange.body.endswith(b"\n"):
            return error(400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]")
        return self.take(exchange)

    def signed_in(self, exchange):
        scheme, _, rest = (exchange.headers.get("Authorization") or "").partition(" ")
        own = {
            "ApiKey": self.settings["api_key"],
            "Basic": f"{self.settings['user']}:{self.settings['password']}",
        }
        try:
            return scheme in own and base64.b64decode(rest).decode() == own[scheme]
        except ValueError:
            return False

    def take(self, exchange):
        lines = exchange.body.split(b"\n")[:-1]
        default = exchange.path.removesuffix("_bulk").strip("/")
        answers, items, at, here = [], [], 0, set()
        while at < len(lines):
            line = lines[at]
            at += 1
            if not line.strip():
                self.complain("an empty line")
                continue
            try:
                ((action, about),) = json.loads(line).items()
            except (ValueError, AttributeError):
                return error(400, "illegal_argument_exception", f"Malformed action/metadata line [{at}], expected START_OBJECT or END_OBJECT")
            if action not in ("create", "index", "update", "delete"):
                return error(400, "illegal_argument_exception", f"Malformed action/metadata line [{at}], expected field [create], [delete], [index] or [update] but found [{action}]")
            if at >= len(lines) and action != "delete":
                return error(400, "illegal_argument_exception", "unexpected end of the request")
            source = b"" if action == "delete" else lines[at]
            at += action != "delete"
            index, identity = about.get("_index", default), about.get("_id")
            status, kind, reason = self.one(action, index, identity, source, len(answers), exchange, here)
            answer = {"_index": index, "_id": identity, "status": status}
            if kind:
                answer["error"] = {"type": kind, "reason": reason}
            else:
                answer.update({"_version": 1, "result": "created", "_seq_no": self.store.count, "_primary_term": 1})
                items.append((identity, json.loads(source)))
                here.add(identity)
            answers.append({action: answer})
        failed = any("error" in next(iter(one.values())) for one in answers)
        return Reply(200, {"took": 1, "errors": failed, "items": answers}, items=items)

    def one(self, action, index, identity, source, n, exchange, here):
        if not any(fnmatch.fnmatch(index or "", pattern) for pattern in self.settings["streams"]):
            return 404, "index_not_found_exception", f"no such index [{index}]"
        if action != "create":
            return 400, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams"
        if identity is None:
            self.complain("a document without _id is doubled when it is sent again")
        elif not identity or len(identity.encode()) > 512:
            return 400, "illegal_argument_exception", f"id [{identity}] is too long, must be no longer than 512 bytes"
        status = self.refused(n, source.decode("utf-8", "replace"), exchange)
        if status == 429:
            return 429, "es_rejected_execution_exception", "rejected execution of primary operation, queue capacity reached"
        if status is not None:
            return status, "document_parsing_exception", "[1:1] failed to parse: refused as told"
        try:
            document = json.loads(source.decode())
        except ValueError as wrong:
            return 400, "document_parsing_exception", f"failed to parse: {wrong}"
        if not isinstance(document, dict) or "@timestamp" not in document:
            return 400, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing"
        if wrong := self.mapped(document):
            return 400, "document_parsing_exception", wrong
        if identity in here or self.store.has(self.name, identity):
            return 409, "version_conflict_engine_exception", f"[{identity}]: version conflict, document already exists (current version [1])"
        return 201, None, None

    def mapped(self, document):
        """What a field has that its mapping does not take. A name with dots is a path."""
        found = {}
        if wrong := self.walk("", document, found):
            return wrong
        types = {**self.types, **found}
        if len(types) > self.settings["fields"]:
            return f"Limit of total fields [{self.settings['fields']}] has been exceeded"
        self.types = types
        return None

    def walk(self, path, value, found):
        if value is None:
            return None
        if isinstance(value, list):
            return next((wrong for one in value if (wrong := self.walk(path, one, found))), None)
        if isinstance(value, dict):
            kind = "object"
        elif isinstance(value, bool):
            kind = "boolean"
        elif isinstance(value, (int, float)):
            kind = "number"
        else:
            kind = "text"
        if path in DATES and not (kind == "text" and DATE.fullmatch(value)):
            return f"failed to parse field [{path}] of type [date]: {value}"
        if path.endswith(".ip") or path == "related.ip":
            try:
                ipaddress.ip_address(value)
            except ValueError:
                return f"failed to parse field [{path}] of type [ip]: '{value}' is not an IP string literal."
        if kind == "text" and len(value.encode()) > 32766:
            self.complain(f"[{path}] is longer than a keyword may be: 32,766 bytes")
        if kind == "number" and isinstance(value, int) and not -(2**63) <= value < 2**63:
            return f"failed to parse field [{path}] of type [long]"
        if path:
            known = found.get(path) or self.types.get(path)
            if known is not None and known != kind and "object" in (known, kind):
                return f"object mapping for [{path}] tried to parse field [{path}] as {kind}, but found {known}"
            if known in ("number", "boolean") and known != kind:
                return f"failed to parse field [{path}] of type [{known}]"
            if known is None:
                found[path] = kind
        if kind == "object":
            for name, inner in value.items():
                if not name.strip() or any(not part.strip() for part in name.split(".")):
                    return "field name cannot contain only whitespace"
                if "." in name:
                    head, _, tail = name.partition(".")
                    name, inner = head, {tail: inner}
                if wrong := self.walk(f"{path}.{name}" if path else name, inner, found):
                    return wrong
        return None
