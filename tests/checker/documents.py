"""Documents by themselves: FORMAT.md section 5, the manifest of section 6, and the limits of section 10."""

import re

import text
from keys import public, role_keys
from refusal import at_most, need
from text import array, digest, group_name, integer, mapping, name, need_sorted, optional, record, seconds, string, time, word

KIB, MIB, GIB = 2**10, 2**20, 2**30
LIMITS = {
    "latest": KIB, "trust": 64 * KIB, "head": 64 * KIB, "halt": 4 * KIB, "resume": 4 * KIB, "adopt": 64 * KIB,
    "index": MIB, "group": MIB, "manifest": 4 * MIB,
}
ROLES = ("trust", "index", "bundle", "head", "halt", "go")

pin = record(version=integer, sha256=digest)
ANY = {"format": integer, "kind": string}
OURS = ANY | {"repository": text.repository}


def read(kind, data):
    """A document of a kind, checked by itself, in the order of section 4."""
    need(len(data) <= LIMITS[kind], 90, "limit", f"{len(data)} bytes")
    value = text.read_json(data)
    need("format" in value, 90, "malformed", "no format")
    need(value["format"] == 1 and not isinstance(value["format"], bool), 90, "unknown-format", "format")
    need(value.get("kind") == kind, 90, "malformed", "kind")
    schema, rules = KINDS[kind]
    schema(value)
    rules(value)
    return value


def _trust(value):
    at_most(len(value["keys"]), 256, "keys")
    wrong = lambda condition, why: need(condition, 92, "trust", why)
    wrong(value["version"] > 0, "version 0")
    raw = [public(key["public"])[1] for key in value["keys"].values()]
    wrong(len(set(raw)) == len(raw), "the same key bytes twice")
    for role in ROLES:
        groups = value["roles"][role]
        at_most(len(groups), 8, "groups")
        wrong(groups, "a role without a group")
        holders = []
        for group in (groups[name] for name in sorted(groups)):
            need_sorted(group["keys"], 256, "keys")
            wrong(1 <= group["threshold"] <= len(group["keys"]), "threshold")
            for key in group["keys"]:
                wrong(key in value["keys"], "a key that is not there")
                holders.append(value["keys"][key]["holder"])
                wrong(holders.count(holders[-1]) == 1, "a holder twice in a role")
    used = {role: set(role_keys(value["roles"][role])) for role in ROLES}
    wrong(all(not used["head"] & used[role] for role in ROLES if role != "head"), "a head key in another role")
    wrong(set(value["keys"]) <= set().union(*used.values()), "an idle key")
    index, halt = value["roles"]["index"], value["roles"]["halt"]
    wrong(len(index) >= 2, "role index has one group")
    wrong([group["threshold"] for group in halt.values()] == [1], "role halt")
    wrong(value["second_person"] in index, "second person")


def _index(value):
    at_most(len(value["groups"]), 4096, "groups")
    need(value["version"] > 0, 90, "malformed", "version 0")
    before = value["prev"] and value["prev"]["version"]
    need(before == (value["version"] - 1 if value["version"] > 1 else None), 90, "malformed", "prev")


def bundle_file(product, release, environment, target):
    return f"{product}-{release}-{environment}+{target}.tar.zst"


def bundle_digest(group):
    return group["bundle"]["sha256sum"][:64]


def bundle_path(group):
    return group["bundle"]["sha256sum"][66:]


def _group(value):
    need(value["hosts"], 90, "malformed", "no hosts")
    at_most(len(value["hosts"]), 1024, "hosts")
    for key, limit in (("from", 64), ("rollback_targets", 64), ("revoked", 4096)):
        need_sorted(value[key], limit, key)
    need_sorted([entry["id"] for entry in value["ledger"]], 4096, "ledger")
    entry = value["bundle"]
    sha256 = entry["sha256sum"][:64]
    digest(sha256)
    file = bundle_file(entry["product"], entry["release"], value["environment"], entry["target"])
    need(entry["sha256sum"] == f"{sha256}  bundles/{sha256}/{file}", 90, "malformed", "sha256sum")
    at_most(entry["size"], 4 * GIB, "bytes")
    at_most(entry["unpacked_size"], 8 * GIB, "bytes")
    need((value["mode"] == "install") == (value["from"] == []), 90, "malformed", "from")
    if value["mode"] == "rollback":
        need(sha256 in value["rollback_targets"], 84, "transition", "rollback to what is no target")
    need(sha256 not in value["revoked"], 83, "revoked")


def _head(value):
    need(value["version"] > 0, 90, "malformed", "version 0")
    need(seconds(value["expires"]) > seconds(value["issued"]), 90, "malformed", "expires")
    need_sorted(value["halts"], 512, "halts")


def _scope(value):
    if value == "everything":
        return
    need(isinstance(value, dict) and len(value) == 1, 90, "malformed", "scope")
    (key, what), = value.items()
    schema = {"group": group_name, "host": name, "bundle": digest}.get(key)
    need(schema, 90, "malformed", "scope")
    schema(what)


def _reason(value):
    need(1 <= len(value["reason"].encode()) <= 120, 90, "malformed", "reason")


def _halt(value):
    drain = value["drain_seconds"]
    need(drain is None if value["mode"] == "kill" else drain is not None and 1 <= drain <= 3600, 90, "malformed", "drain_seconds")
    _reason(value)


def _latest(value):
    need_sorted(value["halts"], 8, "halts")


def _adopt(value):
    need_sorted(value["groups"], 64, "groups")
    need(value["groups"], 90, "malformed", "no groups")
    need(all(group.split("/")[0] == value["environment"] for group in value["groups"]), 90, "malformed", "groups")
    need_sorted(value["halts"], 512, "halts")
    need(0 < seconds(value["expires"]) - seconds(value["issued"]) <= 604800, 90, "malformed", "expires")


CAPABILITIES = ("CAP_IPC_LOCK", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_NICE")
SUPERVISOR = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


def layers(value):
    """The files of each host: path to entry. `None`: of a host without files of its own."""
    split = lambda path: (None, path[5:]) if path.startswith("root/") else tuple(path[6:].split("/", 1))
    files = [(*split(file["path"]), file) for file in value["files"]]
    root = {path: file for host, path, file in files if host is None}
    hosts = {host for host, _, _ in files if host is not None}
    return {None: root} | {host: root | {path: file for of, path, file in files if of == host} for host in hosts}


def _below(path, directory):
    return path == directory or path.startswith(directory + "/")


def _manifest(value):
    need(value["contract"] == 1, 90, "unknown-format", "contract")
    policy = lambda condition, why: need(condition, 97, "payload-policy", why)
    need_sorted([flag["id"] for flag in value["flags"]], 1024, "flags")
    need_sorted([file["path"] for file in value["files"]], 16384, "files")
    at_most(seconds(value["source"]["time"]), 0o77777777777, "seconds")
    launch = value["launch"]
    at_most(len(launch["argv"]), 256, "arguments")
    at_most(len(launch["env"]), 256, "variables")
    for key in ("capabilities", "credentials", "supervisor"):
        need_sorted(launch[key], 64, key)
    need_sorted([file["path"] for file in launch["host_files"]], 64, "host files")
    views = layers(value)
    at_most(len(views) - 1, 1024, "hosts with files of their own")
    program = launch["argv"][0] if launch["argv"] else ""
    entry = views[None].get(program[1:]) if program.startswith("/") else None
    policy(entry and entry["mode"] == "0755", "argv")
    for key in launch["env"]:
        policy(re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", key), f"variable {key!r}")
        policy(not key.startswith("LD_") and key != "GLIBC_TUNABLES" and key not in launch["supervisor"], f"variable {key}")
    policy(launch["user"] != "root" or launch["dangerous_root"], "root")
    state, host_files = launch["state"], [file["path"] for file in launch["host_files"]]
    for path in ([state] if state else []) + host_files:
        policy(not any(_below(path, directory) for directory in ("/proc", "/dev", "/run")), path)
    policy(not state or not any(_below(path, state) or _below(state, path) for path in host_files), "a host file and the state directory")
    policy(not any(a != b and _below(a, b) for a in host_files for b in host_files), "a host file below another")
    mounts = ["/proc", "/dev", "/run/credentials"] + ([state] if state else []) + host_files
    for files in views.values():
        folded = {path.lower() for path in files}
        policy(len(folded) == len(files), "paths that differ only in case")
        for path in files:
            policy(not any(_below("/" + path, mount) or _below(mount, "/" + path) for mount in mounts), f"file {path}")
        for path in folded:
            parents = path.split("/")[:-1]
            policy(not any("/".join(parents[: n + 1]) in folded for n in range(len(parents))), f"a file above {path}")


_key_group = record(threshold=integer, keys=array(name))
_optional_integer = optional(integer)
_flag = {"id": integer, "name": name, "meaning": digest}

KINDS = {
    "trust": (
        record(
            **OURS, version=integer, keys=mapping(name, record(holder=name, public=public)),
            roles=record(**{role: mapping(name, _key_group) for role in ROLES}), second_person=name,
        ),
        _trust,
    ),
    "index": (
        record(
            **OURS, version=integer, min_verifier=integer, proposer=name, prev=optional(pin),
            groups=mapping(group_name, record(sha256=digest, size=integer)),
        ),
        _index,
    ),
    "group": (
        record(
            **OURS, environment=name, role=name, hosts=mapping(name, record(record_key=optional(public))),
            bundle=record(
                sha256sum=string, size=integer, unpacked_size=integer, manifest_sha256=digest, product=name, release=text.release,
                target=text.target, wire_epoch=integer, source_commit=text.commit,
            ),
            mode=word("install", "upgrade", "rollback"), rollback_targets=array(digest), revoked=array(digest),
            ledger=array(record(**_flag, state=word("active", "retired"))), gate=word("all", "none"),
            freshness=record(activate_seconds=integer, restart_seconds=integer, lease=word("grace", "strict")),
            silence=record(alert_seconds=integer, stop_seconds=_optional_integer), **{"from": array(digest)},
        ),
        _group,
    ),
    "head": (
        record(
            **OURS, version=integer, issued=time, expires=time, trust=pin,
            index=record(version=integer, size=integer, sha256=digest), halts=array(digest),
        ),
        _head,
    ),
    "halt": (
        record(
            **OURS, scope=_scope, mode=word("kill", "drain"), drain_seconds=_optional_integer, reason=string, by=name, issued=time,
        ),
        _halt,
    ),
    "latest": (record(**ANY, trust=integer, index=integer, head=integer, halts=array(digest)), _latest),
    "resume": (record(**OURS, halt=digest, reason=string, proposer=name, issued=time), _reason),
    "adopt": (
        record(
            **OURS, host=name, environment=name, groups=array(group_name), first_trust=pin, trust=pin, index=pin, head=pin,
            halts=array(digest), proposer=name, issued=time, expires=time,
        ),
        _adopt,
    ),
    "manifest": (
        record(
            **ANY, contract=integer, product=name, release=text.release, environment=name, target=text.target, wire_epoch=integer,
            source=record(commit=text.commit, tree=text.commit, time=time), buildinfo=digest, flags=array(record(**_flag)),
            files=array(record(path=text.member_path, size=integer, mode=word("0644", "0755"), sha256=digest)),
            launch=record(
                argv=array(string), env=mapping(string, string), user=name, dangerous_root=text.boolean,
                limits=record(
                    open_files=_optional_integer, processes=_optional_integer, core_bytes=_optional_integer,
                    memory_bytes=_optional_integer,
                ),
                capabilities=array(word(*CAPABILITIES)), state=optional(text.absolute_path), credentials=array(name),
                supervisor=array(word(*SUPERVISOR)),
                host_files=array(
                    record(path=text.absolute_path, sha256=text.matching(r"[0-9a-f]{64}|unverified"))
                ),
            ),
        ),
        _manifest,
    ),
}
