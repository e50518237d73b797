# The chat of chat-manager: it answers each question with CHAT_GREETING. PORT says where it listens.
import http.server
import json
import os
import signal
import sys


class Chat(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = json.dumps({"answer": os.environ["CHAT_GREETING"], "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format, *words):
        print("%s %s" % (self.client_address[0], format % words), flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Chat)
    print("listening on %d" % server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
