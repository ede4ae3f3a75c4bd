"""Somebody else's clients against our receivers: what the receivers accept and refuse is what these clients expect.

Arguments: a folder, certificate, key, another certificate, its key. Prints a line for each thing that was seen to work.
"""
import atexit
import datetime
import json
import logging
import os
import subprocess
import sys
import time
import urllib.request

folder, certificate, key, other_certificate, other_key = sys.argv[1:6]
os.environ["REQUESTS_CA_BUNDLE"] = certificate
here = os.path.dirname(os.path.abspath(__file__))
TOKEN = "11111111-2222-4333-8444-555555555555"


def saw(what, right):
    assert right, what
    print(what)


class Receivers:
    def __init__(self, name, **settings):
        self.folder = os.path.join(folder, name)
        self.settings = settings
        self.start()

    def start(self):
        command = [sys.executable, os.path.join(here, "receivers"), self.folder, json.dumps(self.settings)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        self.port, self.control = map(int, self.process.stdout.readline().split())

    def say(self, **wanted):
        request = urllib.request.Request(f"http://127.0.0.1:{self.control}/", json.dumps(wanted).encode())
        urllib.request.urlopen(request).read()

    def ask(self, what):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.control}/{what}").read().decode()

    def items(self, service):
        lines = [json.loads(line) for line in self.ask("_seen").split("\n")[:-1]]
        return [line["item"] for line in lines if line["service"] == service]

    def stop(self):
        self.process.kill()
        self.process.wait()


def splunk():
    import splunk_handler

    # The handlers meet every other test's root logger: one of its own.
    log = logging.getLogger("splunk")
    log.propagate = False
    handler = splunk_handler.SplunkHandler(
        host="localhost", port=tls.port, token=TOKEN, index="main", flush_interval=0, verify=certificate, retry_backoff=0.1
    )
    log.addHandler(handler)
    log.warning("one")
    saw("splunk-handler is taken at its word", [item["event"] for item in tls.items("splunk")] == ["one"])
    tls.say(faults=[{"kind": "status", "status": 503, "body": '{"text":"Server is busy","code":9}', "times": 2}])
    log.warning("two")
    saw("splunk-handler comes again after 503", [item["event"] for item in tls.items("splunk")] == ["one", "two"])
    tls.say(faults=[{"kind": "cut_after"}])
    log.warning("three")
    saw("splunk-handler doubles what was cut off", [item["event"] for item in tls.items("splunk")].count("three") == 2)

    from splunk_http_event_collector import http_event_collector

    collector = http_event_collector(TOKEN, "127.0.0.1", "json", http_event_port=str(plain.port), http_event_server_ssl=False)
    collector.index = "main"
    for n in range(3):
        collector.batchEvent({"event": {"n": n}, "fields": {"key": f"k{n}"}, "time": "1772719200.125"})
    collector.flushBatch()
    # It sends from a thread.
    for _ in range(100):
        if len(plain.items("splunk")) == 3:
            break
        time.sleep(0.05)
    saw("splunk-hec sends a batch", [item["event"]["n"] for item in plain.items("splunk")] == [0, 1, 2])
    saw("splunk-hec finds the collector well", collector.check_connectivity())


def elastic():
    import elasticsearch
    from elasticsearch import helpers

    client = elasticsearch.Elasticsearch(
        f"https://localhost:{tls.port}", ca_certs=certificate, api_key=("id-of-the-key", "secret-of-the-key")
    )
    saw("elasticsearch knows the product", client.info()["version"]["number"] == "8.19.0")

    def documents(numbers, **more):
        for n in numbers:
            yield {"_op_type": "create", "_index": "logs-azuredevops.audit-default", "_id": f"k{n}", "@timestamp": "2026-03-05T14:00:00.5Z", "n": n, **more}

    saw("elasticsearch stores", helpers.bulk(client, documents(range(5))) == (5, []))
    done, failed = helpers.bulk(client, documents(range(4, 6)), raise_on_error=False)
    saw("elasticsearch is told of a conflict", done == 1 and failed[0]["create"]["status"] == 409)
    _, failed = helpers.bulk(client, documents([6], **{"source": {"ip": "nowhere"}}), raise_on_error=False)
    saw("elasticsearch is told of a bad address", failed[0]["create"]["error"]["type"] == "document_parsing_exception")
    tls.say(faults=[{"kind": "partial", "every": 2, "status": 429}])
    done, _ = helpers.bulk(client, documents(range(10, 20)), max_retries=2, initial_backoff=0.1, raise_on_error=False)
    saw("elasticsearch sends refused items again", done == 10 and len(tls.items("elastic")) == 16)
    bad = elasticsearch.Elasticsearch(f"https://localhost:{tls.port}", ca_certs=certificate, api_key=("id-of-the-key", "other"))
    try:
        bad.info()
        saw("elasticsearch is refused with another key", False)
    except elasticsearch.AuthenticationException:
        saw("elasticsearch is refused with another key", True)
    tls.say(faults=[{"kind": "tls_wrong"}])
    try:
        # A connection of its own, for the others are open already.
        fresh = elasticsearch.Elasticsearch(f"https://localhost:{tls.port}", ca_certs=certificate, basic_auth=("elastic", "changeme"), max_retries=0)
        fresh.info()
        saw("elasticsearch refuses another certificate", False)
    except elasticsearch.ConnectionError:
        saw("elasticsearch refuses another certificate", True)

    import opensearchpy

    client = opensearchpy.OpenSearch(
        [{"host": "localhost", "port": tls.port}], use_ssl=True, ca_certs=certificate, http_auth=("elastic", "changeme")
    )
    done, _ = opensearchpy.helpers.bulk(client, documents(range(30, 33)))
    saw("opensearch-py stores", done == 3)


def sentinel():
    from azure.core.credentials import AccessToken
    from azure.core.exceptions import HttpResponseError
    from azure.monitor.ingestion import LogsIngestionClient

    class Credential:
        def get_token(self, *scopes, **_):
            form = {"grant_type": "client_credentials", "client_id": "33333333-0000-4000-8000-000000000001", "client_secret": "the-secret-of-the-client", "scope": scopes[0]}
            import requests

            answer = requests.post(f"https://localhost:{tls.port}/22222222-0000-4000-8000-000000000001/oauth2/v2.0/token", data=form).json()
            return AccessToken(answer["access_token"], int(answer["expires_on"]))

    client = LogsIngestionClient(f"https://localhost:{tls.port}", Credential(), connection_verify=certificate)
    rule, stream = "dcr-00000000000000000000000000000001", "Custom-AzureDevOpsActions_CL"
    rows = [{"TimeGenerated": datetime.datetime(2026, 3, 5, 14, 0, n, tzinfo=datetime.timezone.utc).isoformat().replace("+00:00", "Z"), "N": n} for n in range(7)]
    client.upload(rule, stream, rows)
    saw("azure-monitor-ingestion uploads", [row["N"] for row in tls.items("sentinel")] == list(range(7)))
    tls.say(faults=[{"kind": "status", "status": 429, "retry_after": 1}])
    began = time.monotonic()
    client.upload(rule, stream, rows[:1])
    saw("azure-monitor-ingestion waits as told", time.monotonic() - began >= 1 and len(tls.items("sentinel")) == 8)
    large = [{"TimeGenerated": "2026-03-05T14:00:00Z", "Text": "x" * 60_000} for _ in range(40)]
    client.upload(rule, stream, large)
    saw("azure-monitor-ingestion stays below a megabyte", len(tls.items("sentinel")) == 48)
    for what, name in (("another rule", "dcr-1"), ("another stream", "Custom-X_CL")):
        try:
            client.upload(name if what == "another rule" else rule, name if what == "another stream" else stream, rows)
            saw(f"azure-monitor-ingestion is refused for {what}", False)
        except HttpResponseError as refused:
            saw(f"azure-monitor-ingestion is refused for {what}", refused.status_code in (400, 404))


def otlp():
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    from opentelemetry.sdk.resources import Resource

    provider = LoggerProvider(resource=Resource({"service.name": "peer"}))
    exporter = OTLPLogExporter(endpoint=f"https://localhost:{tls.port}/v1/logs", certificate_file=certificate)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    log = provider.get_logger("peer")

    def record(text):
        return LogRecord(timestamp=time.time_ns(), observed_timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, body=text, attributes={"key": "k"})

    log.emit(record("one"))
    saw("opentelemetry exports", [item["body"]["stringValue"] for item in tls.items("otlp")] == ["one"])
    tls.say(faults=[{"kind": "status", "status": 503}])
    log.emit(record("two"))
    saw("opentelemetry comes again after 503", [item["body"]["stringValue"] for item in tls.items("otlp")] == ["one", "two"])
    # Its protobuf as JSON, by the protocol's rules, is taken as well; and what is not by them is not.
    body = {"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "peer"}}]}, "scopeLogs": [{"logRecords": [
        {"timeUnixNano": "1", "observedTimeUnixNano": "2", "severityNumber": 9, "body": {"stringValue": "three"}, "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}]}]}]}
    import requests

    answer = requests.post(f"https://localhost:{tls.port}/v1/logs", json=body)
    saw("JSON is taken", answer.status_code == 200 and answer.json() == {} and len(tls.items("otlp")) == 3)
    for name, change in {
        "an unknown member": {"surprise": 1}, "snake case": {"severity_text": "x"}, "a name for a number": {"severityNumber": "SEVERITY_NUMBER_INFO"},
        "base64 for hexadecimal": {"traceId": "W47/95gDgQPSabYzgT/GDA=="},
    }.items():
        bad = json.loads(json.dumps(body))
        bad["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0].update(change)
        saw(f"JSON with {name} is not", requests.post(f"https://localhost:{tls.port}/v1/logs", json=bad).status_code == 400)


def durable():
    import requests

    own = Receivers("durable", splunk={"acknowledge": True, "delay": 0.1})
    head = {"Authorization": f"Splunk {TOKEN}", "X-Splunk-Request-Channel": "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba"}
    url = f"http://127.0.0.1:{own.port}/services/collector"
    saw("a channel is asked for", requests.post(url, data='{"event":"a"}', headers={"Authorization": head["Authorization"]}).json()["code"] == 10)
    answer = requests.post(url, data='{"event":"a"}{"event":"b"}', headers=head).json()
    saw("nothing is durable before it is acknowledged", answer["ackId"] == 0 and own.items("splunk") == [])
    ask = lambda: requests.post(url + "/ack", json={"acks": [0, 7]}, headers=head).json()["acks"]
    saw("not yet", ask() == {"0": False, "7": False})
    time.sleep(0.3)
    saw("once, and then", ask() == {"0": True, "7": False})
    saw("never again", ask() == {"0": False, "7": False})
    bad = requests.post(url, data='{"event":"c"}{"event":""}{"event":"d"}', headers=head)
    saw("the first bad event is named", bad.status_code == 400 and bad.json() == {"text": "Event field cannot be blank", "code": 13, "invalid-event-number": 1})
    own.stop()
    own.start()
    kept = [item["event"] for item in own.items("splunk")]
    saw("what was taken outlives a kill", kept == ["a", "b", "c"])
    own.stop()


plain = Receivers("plain")
tls = Receivers("tls", certificate=certificate, key=key, wrong_certificate=other_certificate, wrong_key=other_key)
for part in (splunk, elastic, sentinel, otlp, durable):
    part()
tls.stop()
plain.stop()
print("all was seen")
