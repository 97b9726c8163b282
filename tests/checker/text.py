"""Bytes to values: the strict JSON of FORMAT.md section 4, and the grammar of section 1."""

import datetime
import json
import re

from refusal import malformed, need

INTEGER = 2**53 - 1
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"


def read_json(data):
    """One JSON object, as section 4 has it."""
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
        )
    except (UnicodeError, ValueError, RecursionError) as error:
        raise malformed(str(error)) from None
    need(isinstance(value, dict), 90, "malformed", "not an object")
    _walk(value, 1)
    return value


def _object(pairs):
    keys = [key for key, _ in pairs]
    need(len(set(keys)) == len(keys), 90, "malformed", "a key twice")
    return dict(pairs)


def _integer(spelling):
    # `json` itself refuses a plus sign and leading zeros; it takes a minus, and any length.
    need(not spelling.startswith("-") and len(spelling) <= 16 and int(spelling) <= INTEGER, 90, "malformed", spelling)
    return int(spelling)


def _no_number(spelling):
    raise malformed(spelling)


def _walk(value, depth):
    if isinstance(value, str):
        _string(value)
    elif isinstance(value, (dict, list)):
        need(depth <= 8, 90, "malformed", "nested too deeply")
        if isinstance(value, dict):
            for key in value:
                _string(key)
        for item in value.values() if isinstance(value, dict) else value:
            _walk(item, depth + 1)


def _string(text):
    need(not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in text), 90, "malformed", "a control character")
    need(not any(0xD800 <= ord(c) <= 0xDFFF for c in text), 90, "malformed", "a lone surrogate")
    need(len(text.encode()) <= 4096, 90, "malformed", "a string over 4096 bytes")


# What follows takes a value and refuses one that is not of its kind. A schema is such a function.


def string(value):
    need(isinstance(value, str), 90, "malformed", f"{value!r} is no string")


def boolean(value):
    need(isinstance(value, bool), 90, "malformed", f"{value!r} is no boolean")


def integer(value):
    need(isinstance(value, int) and not isinstance(value, bool), 90, "malformed", f"{value!r} is no integer")


def matching(pattern, also=lambda text: True):
    """A string that the whole of a pattern fits."""
    compiled = re.compile(pattern)

    def check(value):
        string(value)
        need(compiled.fullmatch(value) and also(value), 90, "malformed", repr(value))

    return check


def word(*words):
    """One of these strings."""

    def check(value):
        need(isinstance(value, str) and value in words, 90, "malformed", f"{value!r} is none of {words}")

    return check


def optional(schema):
    """Or null."""
    return lambda value: value is None or schema(value)


def array(schema):
    def check(value):
        need(isinstance(value, list), 90, "malformed", f"{value!r} is no array")
        for item in value:
            schema(item)

    return check


def mapping(key, schema):
    """An object with any keys of a kind."""

    def check(value):
        need(isinstance(value, dict), 90, "malformed", f"{value!r} is no object")
        for name, item in value.items():
            key(name)
            schema(item)

    return check


def record(**fields):
    """An object with exactly these keys."""

    def check(value):
        need(isinstance(value, dict), 90, "malformed", f"{value!r} is no object")
        need(set(value) == set(fields), 90, "malformed", f"keys {sorted(set(value) ^ set(fields))}")
        for name, schema in fields.items():
            schema(value[name])

    return check


name = matching(NAME, lambda text: not text.endswith(".minisig"))
release = matching(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
target = matching(r"[a-z0-9_]+(-[a-z0-9_.]+){1,4}", lambda text: len(text) <= 64)
digest = matching(r"[0-9a-f]{64}")
commit = matching(r"[0-9a-f]{40}|[0-9a-f]{64}")
repository = matching(r"[0-9a-f]{32}")

COMPONENT = r"[A-Za-z0-9._+@=-]{1,64}"
PATH = rf"{COMPONENT}(/{COMPONENT})*"


def _no_dots(text):
    return not any(part in (".", "..") for part in text.split("/"))


absolute_path = matching(rf"/{PATH}", _no_dots)


def group_name(value):
    string(value)
    parts = value.split("/")
    need(len(parts) == 2, 90, "malformed", f"{value!r} is no group")
    for part in parts:
        name(part)


def member_path(value):
    string(value)
    need(len(value) <= 100, 90, "malformed", f"{value!r} is over 100 bytes")
    layer, _, path = value.partition("/")
    if layer == "hosts":
        host, _, path = path.partition("/")
        name(host)
    else:
        need(layer == "root", 90, "malformed", f"{value!r} is in no layer")
    need(re.fullmatch(PATH, path) and _no_dots(path), 90, "malformed", f"{value!r} is no member path")


LAST = 253402207200  # 9999-12-30T22:00:00Z


def time(value):
    seconds(value)


def seconds(value):
    """A time, in seconds since 1970."""
    string(value)
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value, re.ASCII), 90, "malformed", f"{value!r} is no time")
    try:
        moment = datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise malformed(f"{value!r} is no time") from None
    count = int(moment.timestamp())
    need(0 <= count <= LAST and moment.strftime("%S") == value[17:19], 90, "malformed", f"{value!r} is no time")
    return count


def is_sorted(items):
    """Strictly ascending by bytes, or by number."""
    keys = [item.encode() if isinstance(item, str) else item for item in items]
    return all(a < b for a, b in zip(keys, keys[1:]))


def need_sorted(items, limit, what):
    at = len(items)
    need(at <= limit, 90, "limit", f"{at} {what}")
    need(is_sorted(items), 90, "malformed", f"{what} are not sorted")
