"""Logs over OTLP/HTTP, read by OpenTelemetry's own message descriptors: as JSON by the rules of the protocol, or as protobuf.

Settings: `headers` (that a request must have), `most` (bytes of a body).
"""
import base64
import json
import re

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from server import Reply, Service

JSON, PROTO = "application/json", "application/x-protobuf"
INTEGERS = {"timeUnixNano", "observedTimeUnixNano", "intValue"}


class Otlp(Service):
    name = "otlp"
    settings = {"headers": {}, "most": 20 << 20}

    def takes(self, path):
        return path == "/v1/logs"

    def answer(self, exchange):
        media = exchange.media()
        if media not in (JSON, PROTO):
            return Reply(415, b"")
        if exchange.method != "POST":
            return Reply(405, b"")
        for name, value in self.settings["headers"].items():
            if exchange.headers.get(name) != value:
                return self.status(media, 401, f"the header {name} is another")
        if len(exchange.raw) > self.settings["most"] or len(exchange.body) > self.settings["most"]:
            return self.status(media, 413, "too large")
        try:
            if exchange.damaged:
                raise ValueError(exchange.damaged)
            request = self.json(exchange.body) if media == JSON else ExportLogsServiceRequest.FromString(exchange.body)
        except Exception as wrong:
            self.complain(str(wrong))
            return self.status(media, 400, str(wrong))
        return self.take(exchange, media, request)

    def status(self, media, status, message):
        if media == JSON:
            return Reply(status, {"code": 3, "message": message})
        text = message.encode()[:100]
        return Reply(status, b"\x08\x03\x12" + bytes([len(text)]) + text, {"Content-Type": PROTO})

    def json(self, body):
        parsed = json.loads(body.decode())
        for resource in parsed.get("resourceLogs", []):
            for scope in resource.get("scopeLogs", []):
                for record in scope.get("logRecords", []):
                    self.own_rules(record)
        # Ids are hexadecimal in OTLP, not base64 as elsewhere in protobuf's JSON.
        return json_format.ParseDict(parsed, ExportLogsServiceRequest(), ignore_unknown_fields=False)

    def own_rules(self, record):
        for name, length in (("traceId", 16), ("spanId", 8)):
            if text := record.get(name):
                if not re.fullmatch(rf"[0-9a-f]{{{2 * length}}}", text) or not text.strip("0"):
                    raise ValueError(f"{name} is {text}")
                record[name] = base64.b64encode(bytes.fromhex(text)).decode()
        if not isinstance(record.get("severityNumber", 0), int):
            raise ValueError("severityNumber is a number in OTLP")
        self.walk(record)

    def walk(self, value):
        if isinstance(value, list):
            for one in value:
                self.walk(one)
        if isinstance(value, dict):
            for name, inner in value.items():
                if "_" in name:
                    raise ValueError(f"members are in lowerCamelCase, not {name}")
                if name in INTEGERS and not isinstance(inner, str):
                    self.complain(f"{name} is a 64-bit integer, so a decimal text")
                self.walk(inner)

    def take(self, exchange, media, request):
        items, refused = [], 0
        for resource in request.resource_logs:
            if not any(one.key == "service.name" for one in resource.resource.attributes):
                self.complain("a resource without service.name")
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    item = json_format.MessageToDict(record)
                    text = json.dumps(item, ensure_ascii=False)
                    if self.refused(len(items) + refused, text, exchange):
                        refused += 1
                        continue
                    if not record.time_unix_nano or not record.observed_time_unix_nano:
                        self.complain("a record without its times")
                    names = [one.key for one in record.attributes]
                    if len(names) != len(set(names)):
                        self.complain("an attribute is there twice")
                    items.append((None, item))
        body, proto = {}, b""
        if refused:
            body = {"partialSuccess": {"rejectedLogRecords": str(refused), "errorMessage": "refused as told"}}
            proto = b"\x0a\x02\x08" + bytes([min(refused, 127)])
        if media == JSON:
            return Reply(200, body, items=items)
        return Reply(200, proto, {"Content-Type": PROTO}, items)
