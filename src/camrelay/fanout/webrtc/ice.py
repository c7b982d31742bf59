"""An ICE-lite agent (RFC 8445 §2.5): it is found, it never searches.

The agent has one candidate kind, its host address, and answers connectivity checks. It sends no check of its
own, so no address a viewer names is ever dialled: an address counts once an authenticated check came from it.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import ip_address
from struct import Struct

import msgspec
from aioice import stun

from camrelay.errors import BadStunMessage

#: host:port, with the flow and scope that IPv6 sockets add.
Address = tuple[str, int] | tuple[str, int, int, int]

#: A browser checks from each of its interfaces, per address family; a phone has about six such pairs.
MAX_ADDRESSES = 16

#: RFC 8489 §14.3: a user name has at most 508 bytes. ICE's are two short fragments and a colon.
MAX_MESSAGE_BYTES = 1280

_ROLE_CONFLICT = 487
#: Attribute types (RFC 8489 §18.3).
_USERNAME, _MESSAGE_INTEGRITY, _ERROR_CODE = 0x0006, 0x0008, 0x0009
_XOR_MAPPED_ADDRESS, _FINGERPRINT = 0x0020, 0x8028

_REQUEST = b"\x00\x01"
_HEADER = Struct("!HHI12s")
_ATTRIBUTE = Struct("!HH")
_COOKIE = stun.COOKIE.to_bytes(4)


class Reply(msgspec.Struct, frozen=True):
    """What to send back to where the message came from.

    `is_new` says that the address was proven with this message; `forgotten` is one that gave way to it.
    """

    data: bytes
    is_new: bool = False
    forgotten: Address | None = None


def local_ufrag(data: bytes) -> str:
    """Whose agent a binding request is for: the first half of its user name (RFC 8445 §7.2.2).

    Reads no more than it must, because anybody can send us anything: what is not a request for a known
    fragment is dropped before it costs a parse and an HMAC.

    Raises:
        BadStunMessage: not a binding request with an ICE user name.
    """
    if not 20 <= len(data) <= MAX_MESSAGE_BYTES or data[:2] != _REQUEST or data[4:8] != _COOKIE:
        raise BadStunMessage("not a STUN binding request")
    at = 20
    while at + 4 <= len(data):
        length = int.from_bytes(data[at + 2 : at + 4])
        if int.from_bytes(data[at : at + 2]) == _USERNAME:
            local, colon, _ = data[at + 4 : at + 4 + length].partition(b":")
            if not colon or not local.isascii():
                break
            return local.decode()
        at += 4 + length + -length % 4
    raise BadStunMessage("a STUN binding request without an ICE user name")


class Agent:
    """The controlled side of one viewer's ICE session.

    Args:
        ufrag: ours, which viewers name to reach this agent.
        password: ours, with which checks are signed.
        remote_ufrag: the viewer's.
        now: monotonic seconds.

    Attributes:
        selected: where to send; None before the first check.
        consented_s: when the viewer last proved that it wants what is sent (RFC 7675 §5.1): by a signed check
            here, or by other means that only it has, which the shell then writes here.
    """

    def __init__(self, ufrag: str, password: str, remote_ufrag: str, now: float) -> None:
        self.ufrag = ufrag
        self.password = password
        self.remote_ufrag = remote_ufrag
        self.selected: Address | None = None
        self.consented_s = now
        self._is_nominated = False
        self._addresses: OrderedDict[Address, None] = OrderedDict()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Every address that is proven to be the viewer's, the last one heard from at the end."""
        return tuple(self._addresses)

    def receive(self, data: bytes, address: Address, now: float) -> Reply:
        """Answers a binding request (RFC 8445 §7.3).

        Raises:
            BadStunMessage: broken, or not signed by the viewer. Nothing is answered then: whoever cannot sign
                learns nothing and cannot use us against a third address.
        """
        request = self._authenticated(data)
        if "ICE-CONTROLLED" in request.attributes:
            # A lite agent is always the controlled one (RFC 8445 §6.1.1): the other side has to give way.
            conflict = stun.pack_error_code((_ROLE_CONFLICT, "Role Conflict"))
            return Reply(self._signed(request, stun.Class.ERROR, _ERROR_CODE, conflict))
        is_new = address not in self._addresses
        self._addresses[address] = None
        self._addresses.move_to_end(address)
        self.consented_s = now
        if "USE-CANDIDATE" in request.attributes:
            self.selected, self._is_nominated = address, True
        elif not self._is_nominated:
            # Clients may send DTLS before they nominate; the newest proven address is the best guess.
            self.selected = address
        seen = stun.pack_xor_address(_unmapped(address), request.transaction_id)
        reply = self._signed(request, stun.Class.RESPONSE, _XOR_MAPPED_ADDRESS, seen)
        return Reply(reply, is_new, self._forget_one())

    def _authenticated(self, data: bytes) -> stun.Message:
        try:
            request = stun.parse_message(data)
        except Exception as error:
            # aioice lets through whatever its unpacking meets: ValueError, struct.error, UnicodeDecodeError.
            raise BadStunMessage("a STUN message cannot be parsed") from error
        if request.attributes.get("USERNAME") != f"{self.ufrag}:{self.remote_ufrag}":
            raise BadStunMessage("a STUN message is for somebody else")
        if not request.check_message_integrity(self.password.encode()):
            raise BadStunMessage("a STUN message is not signed with our password")
        return request

    def _signed(self, request: stun.Message, kind: stun.Class, attribute: int, value: bytes) -> bytes:
        """A reply of one attribute, with integrity and fingerprint."""
        # Written here because aioice serializes a message anew for each of them, which doubles what a check
        # costs, and thousands of viewers check several times a minute.
        kind_and_method = stun.Method.BINDING | kind
        data = _HEADER.pack(kind_and_method, 0, stun.COOKIE, request.transaction_id)
        data += _ATTRIBUTE.pack(attribute, len(value)) + value + bytes(-len(value) % 4)
        signature = stun.message_integrity(data, self.password.encode())
        data += _ATTRIBUTE.pack(_MESSAGE_INTEGRITY, len(signature)) + signature
        data += _ATTRIBUTE.pack(_FINGERPRINT, 4) + stun.message_fingerprint(data).to_bytes(4)
        return stun.set_body_length(data, len(data) - stun.HEADER_LENGTH)

    def _forget_one(self) -> Address | None:
        """Makes room when the viewer came from more addresses than it may; never the one in use."""
        if len(self._addresses) <= MAX_ADDRESSES:
            return None
        oldest = next(a for a in self._addresses if a != self.selected)
        del self._addresses[oldest]
        return oldest


def _unmapped(address: Address) -> tuple[str, int]:
    """The address as the viewer knows it: IPv4 on a dual-stack socket comes as ::ffff:a.b.c.d%scope."""
    if len(address) == 2:
        return address
    ip = ip_address(address[0].partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or ip), address[1]
