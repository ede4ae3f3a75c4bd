"""A Kafka cluster: librdkafka's own broker double, which speaks the protocol on real ports and fails on command.

Arguments: how many brokers, and the partitions of the topic `agentrail`. Prints the brokers' addresses and the port of the control:
GET /_seen gives all records as lines; POST / with `errors` (codes, one a request to produce), `down` (a broker's number) and `seconds`,
`slow` (milliseconds of each answer).
"""
import ctypes
import glob
import http.server
import json
import os
import sys
import threading

import confluent_kafka

PRODUCE = 0

folder = os.path.join(os.path.dirname(os.path.dirname(confluent_kafka.__file__)), "confluent_kafka.libs")
library = ctypes.CDLL(glob.glob(os.path.join(folder, "librdkafka*"))[0])
for name, result, arguments in (
    ("rd_kafka_conf_new", ctypes.c_void_p, []),
    ("rd_kafka_new", ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    ("rd_kafka_mock_cluster_new", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [ctypes.c_void_p]),
    ("rd_kafka_mock_topic_create", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    ("rd_kafka_mock_push_request_errors_array", None, [ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)]),
    ("rd_kafka_mock_broker_set_down", ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32]),
    ("rd_kafka_mock_broker_set_up", ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32]),
    ("rd_kafka_mock_broker_set_rtt", ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int]),
):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments

brokers, partitions = int(sys.argv[1]), int(sys.argv[2])
said = ctypes.create_string_buffer(512)
handle = library.rd_kafka_new(0, library.rd_kafka_conf_new(), said, len(said))
cluster = library.rd_kafka_mock_cluster_new(handle, brokers)
library.rd_kafka_mock_topic_create(cluster, b"agentrail", partitions, min(brokers, 3))
addresses = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()


def seen():
    consumer = confluent_kafka.Consumer({"bootstrap.servers": addresses, "group.id": "seen", "enable.auto.commit": False})
    places = [confluent_kafka.TopicPartition("agentrail", n, 0) for n in range(partitions)]
    left = {}
    for place in places:
        low, high = consumer.get_watermark_offsets(place, timeout=10)
        place.offset, left[place.partition] = low, high - low
    consumer.assign(places)
    lines = []
    while any(left.values()):
        message = consumer.poll(10)
        if message is None or message.error():
            raise OSError(f"the records cannot be read: {message and message.error()}")
        left[message.partition()] -= 1
        text = lambda raw: None if raw is None else raw.decode()
        headers = {name: text(value) for name, value in message.headers() or []}
        lines.append({"partition": message.partition(), "offset": message.offset(), "key": text(message.key()), "headers": headers, "item": json.loads(message.value())})
    consumer.close()
    return "".join(json.dumps(line) + "\n" for line in lines)


class Control(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(seen().encode())

    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if errors := wanted.get("errors"):
            library.rd_kafka_mock_push_request_errors_array(cluster, PRODUCE, len(errors), (ctypes.c_int * len(errors))(*errors))
        if broker := wanted.get("down"):
            library.rd_kafka_mock_broker_set_down(cluster, broker)
            threading.Timer(wanted["seconds"], library.rd_kafka_mock_broker_set_up, (cluster, broker)).start()
        if "slow" in wanted:
            for broker in range(1, brokers + 1):
                library.rd_kafka_mock_broker_set_rtt(cluster, broker, wanted["slow"])
        self.answer(b"{}")


control = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control)
print(addresses, control.server_address[1], flush=True)
control.serve_forever()
