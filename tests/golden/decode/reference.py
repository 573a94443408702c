#!/usr/bin/env python3
"""What `overlay decode --json FILE` has to print: written from the words of its documentation alone, without a look at the decoder.

Slow and plain on purpose. Usage: reference.py FILE, exit status 1 when the file is damaged (what is whole is printed first).
"""
import ipaddress
import json
import struct
import sys

PORTS = {4789: "vxlan", 8472: "vxlan", 4790: "vxlan-gpe", 6081: "geneve"}
KEYS = ["frame", "encap", "vni", "outer_src", "outer_dst", "outer_sport", "outer_dport", "inner_len", "inner_src", "inner_dst",
        "inner_eth_src", "inner_eth_dst", "inner_proto", "flags", "gbp_id", "oam", "critical", "options", "error"]
TAGS = (0x8100, 0x88a8, 0x9100)
EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)


class Damaged(Exception):
    pass


class Short(Exception):
    """The captured bytes end before a field."""


def u8(data, at):
    return take(data, at, 1)[0]


def u16(data, at):
    return struct.unpack(">H", take(data, at, 2))[0]


def u32(data, at):
    return struct.unpack(">I", take(data, at, 4))[0]


def take(data, at, count):
    if at + count > len(data):
        raise Short
    return data[at:at + count]


def mac(octets):
    return ":".join("%02x" % octet for octet in octets)


def address(octets):
    if len(octets) == 4:
        return ".".join(map(str, octets))
    value = ipaddress.IPv6Address(bytes(octets))
    if int(value) >> 32 == 0xffff or (int(value) >> 32 == 0 and int(value) > 0xffff):  # RFC 5952, 5
        return ("::ffff:" if int(value) >> 32 else "::") + ".".join(map(str, octets[12:]))
    return value.compressed if value.ipv4_mapped is None else str(value)


# Files

def frames(data):
    """(link type, bytes on the wire, bytes captured) of every frame."""
    magic = data[:4]
    if magic == b"\x0a\x0d\x0d\x0a":
        yield from pcapng(data)
        return
    order = {b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">", b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<"}.get(magic)
    if order is None or len(data) < 24 or struct.unpack(order + "H", data[4:6])[0] != 2:
        raise Damaged
    link = struct.unpack(order + "I", data[20:24])[0] & 0xffff
    at = 24
    while at < len(data):
        if at + 16 > len(data):
            raise Damaged
        captured, original = struct.unpack(order + "II", data[at + 8:at + 16])
        if at + 16 + captured > len(data):
            raise Damaged
        yield link, max(original, captured), data[at + 16:at + 16 + captured]
        at += 16 + captured


def pcapng(data):
    at, order, interfaces = 0, None, []
    while at < len(data):
        if at + 12 > len(data):
            raise Damaged
        if data[at:at + 4] == b"\x0a\x0d\x0d\x0a":
            order = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}.get(data[at + 8:at + 12])
            if order is None:
                raise Damaged
            interfaces = []
        kind, length = struct.unpack(order + "II", data[at:at + 8])
        if length < 12 or length % 4 or at + length > len(data):
            raise Damaged
        body = data[at + 8:at + length - 4]
        if struct.unpack(order + "I", data[at + length - 4:at + length])[0] != length:
            raise Damaged
        frame = block(kind, body, order, interfaces)
        if frame is not None:
            yield frame
        at += length


def block(kind, body, order, interfaces):
    try:
        if kind == 0x0a0d0d0a:
            if struct.unpack(order + "H", body[4:6])[0] != 1:
                raise Damaged
        elif kind == 1:
            link, _, snap = struct.unpack(order + "HHI", body[:8])
            interfaces.append((link, snap))
        elif kind in (2, 6):
            number = struct.unpack(order + ("H" if kind == 2 else "I"), body[:2 if kind == 2 else 4])[0]
            captured, original = struct.unpack(order + "II", body[12:20])
            return packet(interfaces, number, captured, original, body[20:])
        elif kind == 3:
            original = struct.unpack(order + "I", body[:4])[0]
            snap = interfaces[0][1] if interfaces else 0
            return packet(interfaces, 0, min(original, snap) if snap else original, original, body[4:])
    except struct.error:
        raise Damaged
    return None


def packet(interfaces, number, captured, original, data):
    if number >= len(interfaces) or captured > len(data):
        raise Damaged
    return interfaces[number][0], max(original, captured), data[:captured]


# Frames

def decode(link, length, data):
    out = dict.fromkeys(KEYS)
    out["encap"] = "none"
    try:
        if link == 1:
            ethernet(out, length, data)
    except Short:
        pass
    return out


def fail(out, why):
    if out["error"] is None:
        out["error"] = why


def link_header(data):
    at = 12
    while u16(data, at) in TAGS:
        at += 4
    return u16(data, at), at + 2


def ethernet(out, length, data):
    kind, at = link_header(data)
    data, length = data[at:], length - at
    if kind == 0x0800 and u8(data, 0) >> 4 == 4:
        ipv4(out, length, data)
    elif kind == 0x86dd and u8(data, 0) >> 4 == 6:
        ipv6(out, length, data)


def ipv4(out, length, data):
    take(data, 0, 20)
    header = (data[0] & 15) * 4
    if header < 20:
        return
    total, word = u16(data, 2), u16(data, 6)
    if total > length:
        fail(out, "IP length past the frame")
    if word & 0x1fff:
        return
    ends = (address(data[12:16]), address(data[16:20]))
    whole = header <= len(data) and (total == 0 or total >= header)
    if total == 0:  # segmentation offload: to the end of the frame, length unknown
        payload, known, room = data[header:], None, length - header
    else:
        payload, known, room = data[header:max(total, header)], total - header, total - header
    upper(out, data[9], ends, payload, known if known is None or known >= 0 else None, room, word & 0x2000, False, False, whole)


def ipv6(out, length, data):
    take(data, 0, 40)
    total, jumbo = 40 + u16(data, 4), False
    if total == 40 and data[6] == 0 and len(data) >= 48:
        value = jumbo_length(data[42:40 + 8 * (data[41] + 1)])
        if value > 65535:
            total, jumbo = 40 + value, True
    if total > length:
        fail(out, "IP length past the frame")
    ends = (address(data[8:24]), address(data[24:40]))
    at, protocol, first = 40, data[6], False
    data = data[:total]
    while protocol in EXTENSIONS:
        take(data, at, 8)
        size = 8 if protocol == 44 else (data[at + 1] + 2) * 4 if protocol == 51 else (data[at + 1] + 1) * 8
        if protocol == 44:
            word = u16(data, at + 2)
            if word >> 3:
                return
            first = first or bool(word & 1)
        take(data, at, size)
        protocol, at = data[at], at + size
    upper(out, protocol, ends, data[at:], total - at, total - at, first, jumbo, True, True)


def jumbo_length(options):
    at = 0
    while at + 2 <= len(options):
        if options[at] == 0:
            at += 1
            continue
        if options[at] == 0xc2 and options[at + 1] == 4 and at + 6 <= len(options):
            return u32(options, at + 2)
        at += 2 + options[at + 1]
    return 0


def upper(out, protocol, ends, payload, known, room, first, jumbo, is_ipv6, whole):
    if protocol in (4, 41):
        out["encap"] = {(4, False): "ipip", (41, False): "sit", (4, True): "ip4ip6", (41, True): "ip6ip6"}[protocol, is_ipv6]
        out["outer_src"], out["outer_dst"] = ends
        out["inner_len"] = known
        if not whole:
            fail(out, "incomplete tunnel header")
        inner(out, 0x0800 if protocol == 4 else 0x86dd, payload)
    elif protocol == 17:
        udp(out, ends, payload, room, first, jumbo)


def udp(out, ends, payload, room, first, jumbo):
    kind = PORTS.get(u16(payload, 2))
    if kind:
        out["encap"] = kind
        out["outer_src"], out["outer_dst"] = ends
        out["outer_sport"], out["outer_dport"] = u16(payload, 0), u16(payload, 2)
    if len(payload) < 8:
        if kind:
            fail(out, "incomplete tunnel header")
        return
    length = u16(payload, 4)
    if length == 0 and jumbo:
        length = room
    if length < 8:
        fail(out, "UDP length under 8")
        return
    past = length > room
    if past and (kind or not first):
        fail(out, "UDP length past the IP payload")
    if not kind:
        return
    datagram = payload[8:length]
    size = None if past and not first else length - 8
    if kind == "geneve":
        geneve(out, datagram, size)
        return
    out["inner_len"] = size - 8 if size is not None and size >= 8 else None
    if len(datagram) < 8:
        fail(out, "incomplete tunnel header")
        return
    out["flags"], out["vni"] = datagram[0], u32(datagram, 4) >> 8
    if kind == "vxlan":
        if datagram[0] & 0x80:
            out["gbp_id"] = u16(datagram, 2)
        inner(out, 0x6558, datagram[8:])
    else:
        inner(out, {1: 0x0800, 2: 0x86dd, 3: 0x6558}.get(datagram[3]) if datagram[0] & 4 else 0x6558, datagram[8:])


def geneve(out, datagram, size):
    if not datagram:
        fail(out, "incomplete tunnel header")
        return
    header = 8 + 4 * (datagram[0] & 0x3f)
    if datagram[0] >> 6 == 0:
        out["inner_len"] = size - header if size is not None and size >= header else None
    if len(datagram) < 8:
        fail(out, "incomplete tunnel header")
        return
    if datagram[0] >> 6:
        fail(out, "Geneve version")
        return
    out["vni"], out["inner_proto"] = u32(datagram, 4) >> 8, u16(datagram, 2)
    out["oam"], out["critical"] = bool(datagram[1] & 0x80), bool(datagram[1] & 0x40)
    if size is not None and header > size:
        fail(out, "Geneve options past the datagram")
    elif header > len(datagram):
        fail(out, "incomplete tunnel header")
    out["options"], rest = [], datagram[8:header]
    while len(rest) >= 4 and 4 + 4 * (rest[3] & 31) <= len(rest):
        end = 4 + 4 * (rest[3] & 31)
        out["options"].append({"class": u16(rest, 0), "type": rest[2], "len": end - 4, "data": rest[4:end].hex()})
        rest = rest[end:]
    if rest:
        fail(out, "Geneve options do not add up")
    inner(out, out["inner_proto"], datagram[header:])


def inner(out, kind, data):
    try:
        if kind == 0x6558:
            take(data, 0, 14)
            out["inner_eth_dst"], out["inner_eth_src"] = mac(data[:6]), mac(data[6:12])
            kind, at = link_header(data)
            data = data[at:]
        if kind == 0x0800 and u8(data, 0) >> 4 == 4:
            take(data, 0, 20)
            out["inner_src"], out["inner_dst"] = address(data[12:16]), address(data[16:20])
        elif kind == 0x86dd and u8(data, 0) >> 4 == 6:
            take(data, 0, 40)
            out["inner_src"], out["inner_dst"] = address(data[8:24]), address(data[24:40])
    except Short:
        pass


def main(path):
    with open(path, "rb") as file:
        data = file.read()
    try:
        for number, (link, length, captured) in enumerate(frames(data), 1):
            line = decode(link, length, captured)
            line["frame"] = number
            print(json.dumps(line, separators=(",", ":")))
    except Damaged:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
