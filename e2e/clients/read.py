"""Reads a stream as many Python programs do, line by line over an HTTP client
(requests, httpx, urllib all look alike): read.py URL. Each thing that it sees is
one line of JSON. Standard library only."""

import http.client
import json
import sys
import time
import urllib.error
import urllib.request


def say(**what):
    print(json.dumps(what), flush=True)


def lines(response):
    """The lines of a text/event-stream: they end in LF, CR or CRLF."""
    rest = b""
    while chunk := response.read1(65536):
        rest += chunk
        while True:
            ends = [i for i in (rest.find(b"\n"), rest.find(b"\r")) if i >= 0]
            if not ends or (rest[min(ends)] == 13 and min(ends) + 1 == len(rest)):
                break
            end = min(ends)
            yield rest[:end].decode("utf-8", "replace")
            rest = rest[end + (2 if rest[end : end + 2] == b"\r\n" else 1) :]


def read(url):
    last_id, retry = "", 2.0
    while True:
        request = urllib.request.Request(url, headers={"Accept": "text/event-stream"})
        if last_id:
            request.add_header("Last-Event-ID", last_id)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                if response.status == 204:
                    return
                say(kind="open")
                event, data, new_id = "", [], last_id
                for line in lines(response):
                    name, _, value = line.partition(":")
                    value = value.removeprefix(" ")
                    if line == "":
                        last_id = new_id
                        if data:
                            say(kind="event", event=event or "message", id=last_id, data="\n".join(data))
                        event, data = "", []
                    elif name == "data":
                        data.append(value)
                    elif name == "event":
                        event = value
                    elif name == "id" and "\0" not in value:
                        new_id = value
                    elif name == "retry" and value.isdigit():
                        retry = int(value) / 1000
            say(kind="error", text="the stream has ended")
        except urllib.error.HTTPError as e:
            say(kind="error", text=str(e))
            if 400 <= e.code < 500 and e.code not in (408, 429):
                return
        except (OSError, http.client.HTTPException) as e:
            say(kind="error", text=repr(e))
        time.sleep(retry)


if __name__ == "__main__":
    read(sys.argv[1])
    say(kind="closed")
