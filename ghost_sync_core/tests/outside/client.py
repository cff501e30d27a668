#!/usr/bin/env python3
"""A client of Ghost Sync in another language, from PROTOCOL.md alone.

    python3 client.py HOST PORT ROOM [tokens]

Two of them join a room, talk, one loses its link and takes its session up again.
With `tokens` one says who it is to a server that asks, shows another token before the first
expires, lets that expire, and comes back with a third.
Prints a line for each step that went as the page says, and ends with an error at the first
that did not. Needs nothing but Python 3.8.
"""

import socket
import struct
import sys

MAGIC, VERSION = b"GHST", 2
RELIABLE = b"\0"


def u8(value):
    return bytes([value])


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return u32(len(value)) + value


class Reader:
    """Takes values off a frame's body, in order."""

    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, count):
        if self.at + count > len(self.body):
            raise ValueError("a message that ends too early")
        self.at += count
        return self.body[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def bytes(self):
        return self.take(self.number(4))

    def rate(self):
        """How much, in how many nanoseconds, and how much at once; or no limit."""
        return tuple(self.number(8) for _ in range(3)) if self.number(1) else None

    def end(self):
        if self.at != len(self.body):
            raise ValueError("bytes after the end of a message")


class Client:
    """One client: a session, and the link that it has now."""

    def __init__(self, addr):
        self.addr = addr
        self.session = None  # client_id, secret
        self.epoch = 0
        self.attempt = 0
        self.numbered = 0
        self.room, self.last = 0, 0
        # Own broadcasts whose numbers are passed, and those whose numbers are yet to come.
        self.own, self.unmet = 0, 0
        self.link = None

    # --- frames

    def dial(self):
        self.link = socket.create_connection(self.addr, timeout=10)
        self.unread = b""

    def say(self, body):
        self.link.sendall(u32(len(body)) + body)

    def frame_end(self):
        return 4 + int.from_bytes(self.unread[:4], "little")

    def frame(self):
        """The next frame's body; pings are answered on the way."""
        while True:
            while len(self.unread) < 4 or len(self.unread) < self.frame_end():
                more = self.link.recv(65536)
                if not more:
                    raise EOFError("the server hung up")
                self.unread += more
            end = self.frame_end()
            body, self.unread = self.unread[4:end], self.unread[end:]
            tag = body[0]
            if tag in (2, 3, 4, 5, 15, 16, 17, 20, 21, 26, 32):
                self.numbered += 1
            if tag == 18:
                self.say(u8(6) + body[1:9] + u64(self.numbered))
            elif tag == 1:
                why = ", %d" % body[2] if body[1] == 107 else ""
                raise EOFError("closed with reason %d%s" % (body[1], why))
            elif tag != 22:
                return tag, Reader(body[1:])

    # --- the handshake

    def hello(self, name, versions=(VERSION, VERSION), token=b""):
        metadata = u32(1) + text("name") + text(name)
        no_session, agent = u8(0), u32(1) + u16(5) + text("client.py")
        self.say(u8(0) + MAGIC + u16(versions[0]) + u16(versions[1]) + u64(0) + text(b"")
                 + text(token) + metadata + no_session + agent)
        tag, welcome = self.frame()
        assert tag == 0, "not a welcome"
        assert welcome.number(2) == VERSION
        client_id = welcome.take(16)
        welcome.take(4 + 4 + 4)  # the longest payload, and times
        self.user = welcome.bytes().decode()
        self.expires_ms = welcome.number(4)
        self.rates = [welcome.rate() for _ in range(5)]
        welcome.take(4)  # how long seats are held
        self.epoch = welcome.number(8)
        self.session = (client_id, welcome.take(16))
        for _ in range(welcome.number(4)):
            welcome.bytes()
        for _ in range(welcome.number(4)):  # extensions: none is needed
            welcome.number(2)
            welcome.bytes()
        welcome.end()

    def resume(self, token=b""):
        self.attempt += 1
        client_id, secret = self.session
        progress = u32(1) + u32(self.room) + u64(self.last) + u64(self.own)
        self.say(u8(10) + MAGIC + u16(VERSION) + u16(VERSION) + u64(self.epoch) + client_id + secret
                 + u32(self.attempt) + u64(self.numbered) + text(token) + progress)
        tag, resumed = self.frame()
        assert tag == 23, "not resumed: tag %d" % tag
        self.session = (client_id, resumed.take(16))
        resumed.number(8)
        resumed.end()

    # --- rooms

    def join(self, name):
        replay, if_missing, role = u8(0), u8(0), u8(0)
        self.say(u8(1) + u32(1) + text(name) + text(b"") + replay + if_missing + role)
        tag, joined = self.frame()
        assert tag == 2, "not joined: tag %d" % tag
        joined.number(4)
        self.room = joined.number(4)
        joined.bytes()
        _epoch, _seq, since = joined.number(8), joined.number(8), joined.number(8)
        self.seat, _capacity, members = joined.number(4), joined.number(4), joined.number(4)
        self.last = since - 1
        names, self.users = {}, {}
        while len(names) < members:
            tag, roster = self.frame()
            assert tag == 3, "not a roster"
            roster.number(4)
            for _ in range(roster.number(4)):
                seat = roster.number(4)
                roster.take(16 + 8)
                metadata = [(roster.bytes(), roster.bytes()) for _ in range(roster.number(4))]
                roster.number(1)
                self.users[seat] = roster.bytes().decode()
                names[seat] = dict(metadata).get(b"name", b"?").decode()
            roster.end()
        return names

    def broadcast(self, what, delivery=RELIABLE):
        flags, message_type = u8(0), u32(0)
        self.say(u8(3) + u32(self.room) + delivery + flags + message_type + text(what))
        self.unmet += 1

    def meet(self, count):
        assert count <= self.unmet, "a number is missing"
        self.unmet -= count
        self.own += count

    def event(self):
        """The next event of the room: its tag, and of a broadcast who said what."""
        tag, event = self.frame()
        assert 6 <= tag <= 14, "tag %d is no event" % tag
        assert event.number(4) == self.room
        seq = event.number(8)
        if tag == 14:
            self.last = event.number(8)
            self.meet(event.number(4))
            return "gap", None, None
        # Numbers that are passed over are those of own broadcasts.
        assert seq > self.last
        self.meet(seq - self.last - 1)
        self.last = seq
        if tag != 6:
            return tag, None, None
        sender = event.number(4)
        if event.number(1) == 2:
            event.number(4)
        event.number(4)
        said = event.bytes().decode()
        event.end()
        return tag, sender, said

    def heard(self):
        """What others say next."""
        while True:
            tag, sender, said = self.event()
            if tag == 6:
                return sender, said


def refused(client, **hello):
    """How a server that does not let a client in says so."""
    client.dial()
    try:
        client.hello("Zoe", **hello)
    except EOFError as error:
        return str(error)
    raise AssertionError("it was let in")


def tokens(addr, room):
    assert refused(Client(addr)) == "closed with reason 107, 1"
    assert refused(Client(addr), token=b"eve") == "closed with reason 107, 4"
    print("kept out")

    ada = Client(addr)
    ada.dial()
    ada.hello("Ada", token=b"ada")
    assert ada.user == "ada" and 0 < ada.expires_ms <= 3600 * 1000
    pings = ada.rates[4]
    assert pings == (5, 10**9, 20), pings
    ada.join(room)
    assert ada.users[ada.seat] == "ada", ada.users
    print("signed in")

    ada.say(u8(12) + u32(7) + text(b"ada for a moment"))
    tag, answer = ada.frame()
    assert (tag, answer.number(4)) == (26, 7)
    lasts = answer.number(4)
    answer.end()
    assert 0 < lasts <= 3000, lasts
    print("renewed")

    tag, notice = ada.frame()
    assert tag == 25 and 0 < notice.number(4) < lasts
    notice.end()
    try:
        ada.frame()
    except EOFError as error:
        assert str(error) == "closed with reason 108", error
        print("expired")

    ada.dial()
    ada.resume(token=b"ada")
    while ada.event()[0] != 12:
        pass
    print("came back")


def main():
    host, port, room = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    addr = (host, port)
    if sys.argv[4:] == ["tokens"]:
        return tokens(addr, room)

    ann, bob = Client(addr), Client(addr)
    for client, name in ((ann, "Ann"), (bob, "Bob")):
        client.dial()
        client.hello(name)
        names = client.join(room)
        assert names[client.seat] == name, names
    assert sorted(names.values()) == ["Ann", "Bob"], names
    print("joined")

    ann.broadcast("hello, Bob")
    bob.broadcast("hello, Ann")
    assert bob.heard() == (ann.seat, "hello, Bob")
    assert ann.heard() == (bob.seat, "hello, Ann")
    print("talked")

    # A link that ends without a goodbye.
    bob.link.close()
    while ann.event()[0] != 11:
        pass
    ann.broadcast("are you there?")
    bob.dial()
    bob.resume()
    assert bob.heard() == (ann.seat, "are you there?")
    while ann.event()[0] != 12:
        pass
    bob.broadcast("back again")
    assert ann.heard() == (bob.seat, "back again")
    print("resumed")

    ann.say(u8(100) + b"a request of the future")
    tag, answer = ann.frame()
    answer.take(4 + 8)
    assert (tag, answer.number(1), answer.number(1)) == (17, 18, 100)
    print("refused")

    assert refused(Client(addr), versions=(77, 78)) == "closed with reason 102"
    print("mismatched")


if __name__ == "__main__":
    main()
