"""Splunk's HTTP Event Collector, as its documentation has it.

Settings: `token`, `disabled` (a token), `acknowledge`, `delay` (seconds until what was taken is indexed), `most` (bytes of a
body), `prefix` (whether what precedes a bad event is kept, as some versions do and some do not).
With acknowledgement nothing is durable before it is indexed: a kill loses it. An identifier is told as done once, and
never again; they begin anew with every start.
"""
import base64
import json
import re
import threading

from server import Reply, Service

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
CODES = {
    0: (200, "Success"), 1: (403, "Token disabled"), 2: (401, "Token is required"), 3: (401, "Invalid authorization"),
    4: (403, "Invalid token"), 5: (400, "No data"), 6: (400, "Invalid data format"), 7: (400, "Incorrect index"),
    8: (500, "Internal server error"), 9: (503, "Server is busy"), 10: (400, "Data channel is missing"),
    11: (400, "Invalid data channel"), 12: (400, "Event field is required"), 13: (400, "Event field cannot be blank"),
    14: (400, "ACK is disabled"), 15: (400, "Error in handling indexed fields"),
    16: (400, "Query string authorization is not enabled"), 17: (200, "HEC is healthy"),
    18: (503, "HEC is unhealthy, queues are full"), 19: (503, "HEC is unhealthy, ack service unavailable"),
    20: (503, "HEC is unhealthy, queues are full, ack service unavailable"), 23: (503, "Server is shutting down"),
}
MEMBERS = {"time", "host", "source", "sourcetype", "index", "event", "fields"}


def says(code, **more):
    status, text = CODES[code]
    return Reply(status, {"text": text, "code": code, **more})


class Splunk(Service):
    name = "splunk"
    settings = {
        "token": "11111111-2222-4333-8444-555555555555", "disabled": "99999999-2222-4333-8444-555555555555", "acknowledge": False,
        "delay": 0.2, "most": 1_000_000, "indexes": ["main", "azuredevops"], "prefix": True,
    }

    def __init__(self, *own):
        super().__init__(*own)
        self.lock = threading.Lock()
        self.channels = {}

    def takes(self, path):
        return path.startswith("/services/collector")

    def answer(self, exchange):
        path = exchange.path.removeprefix("/services/collector")
        if path in ("/health", "/health/1.0"):
            return says(17)
        if (bad := self.signed_in(exchange)) is not None:
            return bad
        if exchange.method != "POST":
            return Reply(405, {"text": "The requested URL was not found on this server.", "code": 404})
        if path == "/ack":
            return self.acknowledged(exchange)
        if path in ("", "/event", "/event/1.0"):
            return self.take(exchange)
        return Reply(404, {"text": "The requested URL was not found on this server.", "code": 404})

    def signed_in(self, exchange):
        header = exchange.headers.get("Authorization")
        if "token" in exchange.query:
            return says(16)
        if not header:
            return says(2)
        scheme, _, token = header.partition(" ")
        if scheme == "Basic":
            token = base64.b64decode(token).decode().partition(":")[2]
        elif scheme != "Splunk" or not token:
            return says(3)
        if token == self.settings["disabled"]:
            return says(1)
        return None if token == self.settings["token"] else says(4)

    def channel(self, exchange):
        """The channel, or what is wrong with it."""
        channel = exchange.headers.get("X-Splunk-Request-Channel") or exchange.query.get("channel")
        if channel is None:
            return None, says(10)
        return (channel, None) if GUID.fullmatch(channel) else (None, says(11))

    def take(self, exchange):
        channel = None
        if self.settings["acknowledge"]:
            channel, bad = self.channel(exchange)
            if bad:
                return bad
        if len(exchange.body) > self.settings["most"] or len(exchange.raw) > self.settings["most"]:
            return Reply(413, {"text": "Content-Length of the request is too large", "code": 27})
        if exchange.damaged:
            self.complain(exchange.damaged)
            return says(6)
        if not exchange.body.strip():
            return says(5)
        items, bad = self.events(exchange)
        if bad and not self.settings["prefix"]:
            items = []
        if bad:
            code, number = bad
            bad = says(code, **{"invalid-event-number": number})
            bad.items = items
            return bad
        if channel is None:
            reply = says(0)
            reply.items = items
            return reply
        return says(0, ackId=self.promise(channel, exchange, items))

    def events(self, exchange):
        """The events before the first bad one, and that one's code and number."""
        try:
            text = exchange.body.decode()
        except UnicodeDecodeError:
            return [], (6, 0)
        decoder, at, items = json.JSONDecoder(parse_constant=self.constant), 0, []
        while True:
            while at < len(text) and text[at] in " \t\r\n":
                at += 1
            if at == len(text):
                return items, None
            if text[at] == "[":
                self.complain("an array is not how events are batched")
            try:
                event, end = decoder.raw_decode(text, at)
            except ValueError:
                return items, (6, len(items))
            code = self.wrong(event)
            if code is None and self.refused(len(items), text[at:end], exchange):
                code = 15
            if code is not None:
                return items, (code, len(items))
            items.append((None, event))
            at = end

    def constant(self, name):
        raise ValueError(name)

    def wrong(self, event):
        if not isinstance(event, dict):
            return 6
        if more := set(event) - MEMBERS:
            self.complain(f"members that the collector does not know: {sorted(more)}")
        if "event" not in event:
            return 12
        if event["event"] in ("", None, {}):
            return 13
        if "index" in event and event["index"] not in self.settings["indexes"]:
            return 7
        moment = event.get("time")
        if moment is None:
            self.complain("an event without time gets the moment of its arrival")
        elif isinstance(moment, bool) or not re.fullmatch(r"\d{9,11}(\.\d{1,9})?", str(moment)):
            return 6
        if any(not isinstance(event.get(name, ""), str) for name in ("host", "source", "sourcetype")):
            return 6
        fields = event.get("fields", {})
        plain = (str, int, float, bool)
        if not isinstance(fields, dict):
            return 15
        for value in fields.values():
            values = value if isinstance(value, list) else [value]
            if any(not isinstance(one, plain) for one in values):
                return 15
        return None

    def promise(self, channel, exchange, items):
        how = exchange.fault.get("how") if exchange.is_fault("ack") else None
        with self.lock:
            own = self.channels.setdefault(channel, {})
            number = len(own)
            own[number] = "waits"

        def index():
            if how != "lost":
                self.store.add(self.name, exchange.number, items)
            if how not in ("never", "lost"):
                with self.lock:
                    own[number] = "done"

        wait = self.settings["delay"] + (exchange.fault.get("seconds", 5) if how == "late" else 0)
        timer = threading.Timer(wait, index)
        timer.daemon = True
        timer.start()
        return number

    def acknowledged(self, exchange):
        if not self.settings["acknowledge"]:
            return says(14)
        channel, bad = self.channel(exchange)
        if bad:
            return bad
        try:
            asked = json.loads(exchange.body)["acks"]
            assert all(isinstance(one, int) for one in asked)
        except (ValueError, KeyError, TypeError, AssertionError):
            return says(6)
        with self.lock:
            own = self.channels.get(channel, {})
            answer = {str(one): own.get(one) == "done" for one in asked}
            own.update({one: "told" for one in asked if own.get(one) == "done"})
        if exchange.is_fault("ack") and exchange.fault.get("how") == "foreign":
            # Of others, which nobody asked about.
            answer = {str(max(asked, default=0) + 1000): True}
        return Reply(200, {"acks": answer})
