"""Public keys and signature files: FORMAT.md section 3."""

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from refusal import Refused, malformed, need

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def decode(text):
    """Canonical base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed(str(error)) from None
    need(base64.b64encode(data).decode() == text, 90, "malformed", "base64 that is not canonical")
    return data


def public(value):
    """A public key of a document: key id and the 32 bytes."""
    need(isinstance(value, str) and len(value) == 56 and value.isascii(), 90, "malformed", f"{value!r} is no public key")
    data = decode(value)
    need(len(data) == 42 and data[:2] == b"Ed", 90, "malformed", f"{value!r} is no public key")
    key = data[10:]
    y = int.from_bytes(key, "little") & (2**255 - 1)
    need(y < P, 90, "malformed", "a key that is not reduced")
    need(not _small_order(y), 90, "malformed", "a key of small order")
    return data[2:10], key


def _small_order(y):
    """Whether 8 times a point with this y is the neutral element. The sign of x does not matter to that."""
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    # Doubling needs only x^2 and y^2: y' = (y^2 + x^2) / (2 - y^2 + x^2), and x'^2 from the curve, -x^2 + y^2 = 1 + d x^2 y^2.
    for _ in range(3):
        below = (2 - y * y + xx) % P
        if below == 0:
            return False
        y = (y * y + xx) * pow(below, P - 2, P) % P
        xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    return (xx, y) == (0, 1)


class Envelope:
    """A signature file, read: nothing of it is verified yet."""

    def __init__(self, data):
        need(len(data) <= 4096, 90, "limit", "a signature file over 4096 bytes")
        need(all(byte == 0x0A or 0x20 <= byte <= 0x7E for byte in data), 90, "malformed", "a byte that is no text")
        lines = data.decode("ascii").split("\n")
        need(len(lines) == 5 and lines[4] == "", 90, "malformed", "not four lines, each ended")
        need(lines[0].startswith("untrusted comment: "), 90, "malformed", "line 1")
        need(len(lines[0]) - len("untrusted comment: ") <= 1024, 90, "malformed", "line 1 is too long")
        need(lines[2].startswith("trusted comment: "), 90, "malformed", "line 3")
        first, self.over_comment = decode(lines[1]), decode(lines[3])
        need(len(first) == 74 and len(self.over_comment) == 64, 90, "malformed", "the length of a signature")
        need(first[:2] == b"ED", 90, "malformed", "an algorithm that is not ED")
        self.key_id, self.over_data = first[2:10], first[10:]
        self.comment = lines[2][len("trusted comment: ") :]

    def check_comment(self, want):
        need(self.comment == want, 80, "signed-for-something-else", self.comment)

    def verify(self, public_key, blake2b):
        """Both signatures, by this key, over the file of this BLAKE2b-512 hash."""
        key_id, key = public_key
        need(self.key_id == key_id, 80, "bad-signature", "another key id")
        verify(key, self.over_data, blake2b)
        verify(key, self.over_comment, self.over_data + self.comment.encode())


def verify(key, signature, message):
    """RFC 8032: S below the order, and the encoding of [S]B - [k]A equal to R's bytes."""
    need(int.from_bytes(signature[32:], "little") < L, 80, "bad-signature", "S is not below the order")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused(80, "bad-signature", "no signature by this key") from None


def comment(repository, kind, version, file):
    """The one trusted comment that a signature may have."""
    return f"proofmark1 repo={repository} kind={kind} version={'-' if version is None else version} file={file}"


def blake2b(data):
    return hashlib.blake2b(data).digest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def role_keys(role):
    """Key names of a role, group by group in byte order."""
    return [key for group in sorted(role) for key in role[group]["keys"]]


def signers(trust, role, kind, version, file, data, find, expected=lambda: None):
    """Who signed `data`, of the keys of `role`. `find(key)` gives a signature file or None.

    `expected` is asked between the forms and the signatures.
    """
    want = comment(trust["repository"], kind, version, file)
    envelopes = []
    for name in role_keys(trust["roles"][role]):
        found = find(name)
        if found is not None:
            envelope = Envelope(found)
            envelope.check_comment(want)
            envelopes.append((name, envelope))
    expected()
    hashed = blake2b(data)
    for name, envelope in envelopes:
        envelope.verify(public(trust["keys"][name]["public"]), hashed)
    return {name for name, _ in envelopes}


def need_met(role, names, word="threshold", not_counted=("", ())):
    """Every key group's threshold, not counting some keys in one group."""
    for group in sorted(role):
        left_out = not_counted[1] if group == not_counted[0] else ()
        counted = [key for key in role[group]["keys"] if key in names and key not in left_out]
        need(len(counted) >= role[group]["threshold"], 80, word, f"key group {group}")


def need_second_person(trust, proposer, names):
    """Point 3 of counting: an index, a resume, an adopt document."""
    own = {key for key, value in trust["keys"].items() if value["holder"] == proposer}
    need(own, 80, "second-person", f"{proposer} holds no key")
    need_met(trust["roles"]["index"], names, "second-person", (trust["second_person"], own))
