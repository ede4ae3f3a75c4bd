"""A webhook: an array or lines of JSON objects, with a signature of the body before compression.

Settings: `signature` (the header's name), `prefix` (before the hexadecimal digits), `secret`, `headers` (that a request must have).
"""
import hashlib
import hmac
import json

from server import Reply, Service


class Webhook(Service):
    name = "webhook"
    settings = {"signature": "", "prefix": "sha256=", "secret": "", "headers": {}, "most": 10 << 20}

    def takes(self, path):
        return path.startswith("/hook")

    def answer(self, exchange):
        if exchange.method != "POST":
            return Reply(405, b"")
        for name, value in self.settings["headers"].items():
            if exchange.headers.get(name) != value:
                return Reply(401, {"error": f"the header {name} is another"})
        if self.settings["secret"] and not self.signed(exchange):
            return Reply(401, {"error": "the signature is not that of the body"})
        if len(exchange.raw) > self.settings["most"] or len(exchange.body) > self.settings["most"]:
            return Reply(413, b"")
        media = exchange.media()
        try:
            if exchange.damaged:
                raise ValueError(exchange.damaged)
            text = exchange.body.decode()
            if media == "application/x-ndjson":
                if not text.endswith("\n"):
                    self.complain("the last line has no end")
                rows = [json.loads(line) for line in text.split("\n")[:-1]]
            elif media == "application/json":
                rows = json.loads(text)
            else:
                return Reply(415, {"error": f"{media} is not taken"})
            assert isinstance(rows, list) and all(isinstance(row, dict) for row in rows), "no array of objects"
        except (ValueError, AssertionError) as wrong:
            self.complain(str(wrong))
            return Reply(400, {"error": str(wrong)})
        for n, row in enumerate(rows):
            if self.refused(n, json.dumps(row, ensure_ascii=False), exchange):
                return Reply(422, {"error": f"record {n} is refused"})
        return Reply(200, {"taken": len(rows)}, items=[(None, row) for row in rows])

    def signed(self, exchange):
        own = hmac.new(self.settings["secret"].encode(), exchange.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(exchange.headers.get(self.settings["signature"]) or "", self.settings["prefix"] + own)
