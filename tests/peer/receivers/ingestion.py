"""Microsoft's Logs Ingestion API, with the tenant and the machine's identity that give tokens for it.

Settings: `tenant`, `client_id`, `client_secret`, `rule`, `stream`, `lifetime` (seconds of a token), `role` (whether the identity has
one on the rule), `most` (bytes of a call, compressed or not).
"""
import json
import re
import secrets
import time
import urllib.parse

from server import Reply, Service

AUDIENCE = "https://monitor.azure.com"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z")
COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,44}")


def error(status, code, message, headers=None):
    return Reply(status, {"error": {"code": code, "message": message}}, headers)


class Sentinel(Service):
    name = "sentinel"
    settings = {
        "tenant": "22222222-0000-4000-8000-000000000001", "client_id": "33333333-0000-4000-8000-000000000001",
        "client_secret": "the-secret-of-the-client", "rule": "dcr-00000000000000000000000000000001",
        "stream": "Custom-AzureDevOpsActions_CL", "lifetime": 3600, "role": True, "most": 1_048_576,
        "header": "header-of-the-machine",
    }

    def __init__(self, *own):
        super().__init__(*own)
        self.tokens = {}

    def takes(self, path):
        return path.startswith("/dataCollectionRules/") or path.endswith("/oauth2/v2.0/token") or path == "/msi/token"

    def answer(self, exchange):
        if exchange.path == "/msi/token":
            if exchange.headers.get("X-IDENTITY-HEADER") != self.settings["header"]:
                return error(401, "unauthorized", "the header is another")
            return self.token(exchange.query.get("resource", ""))
        if exchange.path.endswith("/token"):
            return self.sign_in(exchange)
        return self.take(exchange)

    def sign_in(self, exchange):
        form = dict(urllib.parse.parse_qsl(exchange.body.decode()))
        if exchange.path.split("/")[1] != self.settings["tenant"]:
            return Reply(400, {"error": "invalid_request", "error_description": "AADSTS90002: Tenant not found."})
        if form.get("grant_type") != "client_credentials":
            return Reply(400, {"error": "unsupported_grant_type", "error_description": "AADSTS70003"})
        if form.get("client_id") != self.settings["client_id"] or form.get("client_secret") != self.settings["client_secret"]:
            return Reply(401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
        scope = form.get("scope", "").split(" ")[0]
        if not scope.endswith("/.default"):
            return Reply(400, {"error": "invalid_scope", "error_description": "AADSTS1002012"})
        return self.token(scope.removesuffix("/.default"))

    def token(self, audience):
        token = secrets.token_urlsafe(24)
        until = time.time() + self.settings["lifetime"]
        self.tokens[token] = (audience.rstrip("/"), until)
        lifetime = self.settings["lifetime"]
        return Reply(200, {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "expires_on": str(int(until)), "resource": audience, "access_token": token})

    def take(self, exchange):
        scheme, _, token = (exchange.headers.get("Authorization") or "").partition(" ")
        audience, until = self.tokens.get(token, ("", 0))
        if scheme != "Bearer" or until < time.time():
            return error(401, "InvalidToken", "The authentication token provided is invalid or has expired", {"WWW-Authenticate": "Bearer"})
        if audience != AUDIENCE:
            return error(401, "InvalidToken", f"The audience {audience} is not {AUDIENCE}")
        parts = exchange.path.strip("/").split("/")
        if len(parts) != 4 or parts[2] != "streams" or exchange.method != "POST":
            return error(404, "NotFound", "nothing is here")
        if parts[1] != self.settings["rule"]:
            return error(404, "NotFound", "Data collection rule with immutable Id was not found.")
        if not self.settings["role"]:
            return error(403, "OperationFailed", "The authentication token provided does not have access to ingest data for the data collection rule")
        if exchange.query.get("api-version") != "2023-01-01":
            return error(400, "UnsupportedApiVersion", "The api-version is not supported")
        if exchange.media() != "application/json":
            return error(415, "UnsupportedMediaType", "The content type is not application/json")
        if parts[3] != self.settings["stream"]:
            return error(400, "InvalidStream", f"Stream {parts[3]} was not configured")
        if len(exchange.raw) > self.settings["most"] or len(exchange.body) > self.settings["most"]:
            return error(413, "ContentLengthLimitExceeded", "Maximum allowed content length: 1048576 bytes (1 MB).")
        if exchange.damaged:
            return error(400, "InvalidRequest", exchange.damaged)
        try:
            rows = json.loads(exchange.body.decode())
        except ValueError as wrong:
            return error(400, "InvalidRequest", f"the body is no JSON: {wrong}")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return error(400, "InvalidRequest", "the body is no array of objects")
        if not rows:
            self.complain("an empty array")
        for n, row in enumerate(rows):
            if self.refused(n, json.dumps(row, ensure_ascii=False), exchange):
                return error(400, "InvalidTransformOutput", "a record cannot be transformed")
            self.look(row)
        return Reply(204, items=[(None, row) for row in rows])

    def look(self, row):
        # The service takes such a row and loses something of it without a word.
        if not MOMENT.fullmatch(str(row.get("TimeGenerated"))):
            self.complain(f"TimeGenerated is {row.get('TimeGenerated')}")
        for name, value in row.items():
            if not COLUMN.fullmatch(name):
                self.complain(f"the column {name} cannot be")
            if len((value if isinstance(value, str) else json.dumps(value)).encode()) > 65_536:
                self.complain(f"the column {name} is longer than 64 KB and would be cut")
