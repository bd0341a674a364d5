#!/usr/bin/env python3
"""The XML API's upload of an object (https://cloud.google.com/storage/docs/xml-api/put-object-upload) in front of
fake-gcs-server, which knows it by the JSON API only: google.py <port> <port of the emulator>. Everything else goes on as it came.
"""

import http.client
import http.server
import json
import sys
import urllib.parse

HOST = "127.0.0.1"
EMULATOR = int(sys.argv[2])
OF_CONNECTION = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


def ask(method, path, headers, body):
    connection = http.client.HTTPConnection(HOST, EMULATOR, timeout=60)
    try:
        connection.request(method, path, body, {**headers, "Host": f"{HOST}:{EMULATOR}"})
        reply = connection.getresponse()
        return reply.status, reply.getheaders(), reply.read()
    finally:
        connection.close()


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of a reply are two writes: without this the second waits for the client's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in OF_CONNECTION:
                self.send_header(name, value)
        length = dict((name.lower(), value) for name, value in headers).get("content-length", "0")
        self.send_header("content-length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pass_on(self):
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_CONNECTION}
        self.reply(*ask(self.command, self.path, headers, self.body()))

    do_GET = do_HEAD = do_DELETE = do_POST = pass_on

    def do_PUT(self):
        bucket, _, name = self.path.lstrip("/").partition("/")
        query = {"uploadType": "media", "name": urllib.parse.unquote(name)}
        generation = self.headers.get("x-goog-if-generation-match")
        if generation is not None:
            query["ifGenerationMatch"] = generation
        path = f"/upload/storage/v1/b/{bucket}/o?{urllib.parse.urlencode(query)}"
        status, _, body = ask("POST", path, {"content-type": "application/octet-stream"}, self.body())
        if status != 200:
            return self.reply(status, [], body)
        made = json.loads(body)
        headers = [("etag", f'"{made["etag"].strip(chr(34))}"'), ("x-goog-generation", str(made["generation"]))]
        self.reply(200, headers, b"")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server((HOST, int(sys.argv[1])), Front).serve_forever()
