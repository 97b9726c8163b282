"""Trust, head, index and group files as they fit together: FORMAT.md sections 3, 5.1 and 7.1, steps 1 to 12."""

import documents
import keys
from keys import sha256
from refusal import Refused, at_most, need
from text import seconds

LEVEL = 2
SKEW = 600
REPOSITORY_LACKS, HOST_LACKS = (98, "unreachable"), (94, "state")


class Source:
    """Files by their repository path: a repository, or what the host has kept."""

    def __init__(self, files, stored):
        self.files = files
        self.stored = stored

    def find(self, path, limit):
        data = self.files.get(path)
        if data is not None:
            at_most(len(data), limit, f"bytes of {path}")
        return data

    def get(self, path, limit):
        data = self.find(path, limit)
        if data is None:
            if self.stored:
                raise Refused(*HOST_LACKS, path)
            raise Refused(*((92, "trust-missing") if path.startswith("trust/") else REPOSITORY_LACKS), path)
        return data

    def signature(self, path):
        return lambda key: self.files.get(f"{path}.{key}.minisig")


def document(source, trust, kind, version, pinned=None):
    """A document that has a version, and who signed it: signatures, threshold, form, repository, version, second person."""
    file = f"{version}.{kind}.json"
    path = f"{kind}/{file}"
    data = source.get(path, documents.LIMITS[kind])
    if pinned:
        need(len(data) == pinned["size"], 81, "size", path)
        need(sha256(data) == pinned["sha256"], 81, "digest", path)
    names = keys.signers(trust, kind, kind, version, file, data, source.signature(path))
    keys.need_met(trust["roles"][kind], names)
    value = documents.read(kind, data)
    need(value["repository"] == trust["repository"], 80, "wrong-document", "repository")
    need(value["version"] == version, 80, "wrong-document", "version")
    if kind == "index":
        keys.need_second_person(trust, value["proposer"], names)
    return value, sha256(data), names


def named(source, trust, kind, path, role_file=None):
    """A resume or an adopt document, which role index signs and a digest names."""
    data = source.get(path, documents.LIMITS[kind])
    file = role_file or f"{sha256(data)}.{kind}.json"
    names = keys.signers(trust, "index", kind, None, file, data, source.signature(path))
    keys.need_met(trust["roles"]["index"], names)
    value = documents.read(kind, data)
    need(value["repository"] == trust["repository"], 80, "wrong-document", "repository")
    keys.need_second_person(trust, value["proposer"], names)
    return value


class Trusts:
    """Step 1: the walk from the pinned trust on."""

    def __init__(self, source, state):
        self.source, self.state = source, state
        first = state["identity"]["first_trust"]
        path = f"trust/{first['version']}.trust.json"
        data = source.get(path, documents.LIMITS["trust"])
        need(sha256(data) == first["sha256"], 92, "trust-pin", path)
        self.trust, self.digest = pinned_trust(source, path, data)
        self.rotations = 0
        self._check_accepted()

    def walk(self, version):
        while self.trust["version"] < version:
            at_most(self.rotations + 1, 1024, "rotations")
            self.rotations += 1
            self._rotate()
            self._check_accepted()
        return self

    def _rotate(self):
        old, version = self.trust, self.trust["version"] + 1
        file = f"{version}.trust.json"
        path = f"trust/{file}"
        data = self.source.get(path, documents.LIMITS["trust"])
        find = self.source.signature(path)
        keys.need_met(old["roles"]["trust"], keys.signers(old, "trust", "trust", version, file, data, find))
        new = documents.read("trust", data)
        need(new["version"] == version, 92, "trust", "version")
        need(new["repository"] == old["repository"], 92, "trust", "repository")
        for name, key in new["keys"].items():
            before = old["keys"].get(name)
            same = before is None or (before["holder"] == key["holder"] and keys.public(before["public"])[1] == keys.public(key["public"])[1])
            need(same, 92, "trust", f"key {name}")
        keys.need_met(new["roles"]["trust"], keys.signers(new, "trust", "trust", version, file, data, find))
        self.trust, self.digest = new, sha256(data)

    def _check_accepted(self):
        accepted = self.state["trust"]
        if self.trust["version"] == accepted["version"]:
            need(self.digest == accepted["sha256"], 84, "equivocation", "trust")


def pinned_trust(source, path, data):
    """A first trust, whose digest was looked at: it is signed by its own role trust."""
    trust = documents.read("trust", data)
    file = f"{trust['version']}.trust.json"
    find = source.signature(f"trust/{file}")
    keys.need_met(trust["roles"]["trust"], keys.signers(trust, "trust", "trust", trust["version"], file, data, find))
    return trust, sha256(data)


class Chain:
    """Steps 3 to 9."""

    def __init__(self, source, state, trusts, head_version, now, change):
        self.source, self.state, self.trust, self.trust_digest = source, state, trusts.trust, trusts.digest
        floor = state["head"]
        head_keys = keys.role_keys(self.trust["roles"]["head"])
        if floor and not all(key in head_keys for key in floor["keys"]):
            floor = None
        if floor:
            need(now >= seconds(floor["issued"]) - SKEW, 93, "clock", "before the time floor")
        self.head, self.head_digest, self.head_signers = document(source, self.trust, "head", head_version)
        issued = seconds(self.head["issued"])
        need(issued <= now + SKEW, 93, "clock", "a head of the future")
        if floor:
            newer = self.head["version"] >= floor["version"] and issued >= seconds(floor["issued"])
            need(newer, 84, "rollback", "head")
            if self.head["version"] == floor["version"]:
                need(self.head_digest == floor["sha256"], 84, "equivocation", "head")
        if change:
            need(now <= seconds(self.head["expires"]), 85, "expired", "head")
        newest = {"version": self.trust["version"], "sha256": self.trust_digest}
        need(self.head["trust"] == newest, 92, "trust-missing", "the head pins another trust")
        pin = self.head["index"]
        self.index, self.index_digest, _ = document(source, self.trust, "index", pin["version"], pin)
        accepted = state["index"]
        at_most(self.index["version"], (accepted["version"] if accepted else 0) + 2**32, "as version of an index")
        if accepted:
            need(self.index["version"] >= accepted["version"], 84, "rollback", "index")
            if self.index["version"] == accepted["version"]:
                need(self.index_digest == accepted["sha256"], 84, "equivocation", "index")
        need(self.index["min_verifier"] <= LEVEL, 91, "verifier-too-old", "min_verifier")

    def group(self, group):
        """Step 10 up to environment and role of its name: the group file and its digest."""
        pin = self.index["groups"].get(group)
        need(pin, 82, "not-in-index", group)
        path = f"group/{pin['sha256']}.group.json"
        data = self.source.get(path, documents.LIMITS["group"])
        need(len(data) == pin["size"], 81, "size", path)
        need(sha256(data) == pin["sha256"], 81, "digest", path)
        value = documents.read("group", data)
        need(value["repository"] == self.trust["repository"], 80, "wrong-document", "repository")
        environment, role = group.split("/")
        need(value["environment"] == environment, 96, "wrong-environment", group)
        need(value["role"] == role, 96, "wrong-role", group)
        return value, pin["sha256"]

    def assign(self, group, architecture):
        """Steps 10 to 12."""
        value, sha = self.group(group)
        identity = self.state["identity"]
        need(value["environment"] == identity["environment"], 96, "wrong-environment", "of the host")
        need(identity["host"] in value["hosts"], 89, "host-not-in-group", group)
        active = self.state["groups"].get(group, {"active": None})["active"]
        if active:
            self._grown(value, active)
            bundle = documents.bundle_digest(value)
            need(value["bundle"]["product"] == active["product"], 96, "wrong-product", "of the active bundle")
            replaces = value["mode"] != "install" and active["bundle"] in value["from"]
            need(active["bundle"] == bundle or replaces, 84, "transition", f"{value['mode']} in place of {active['bundle']}")
        need(value["bundle"]["target"].split("-")[0] == architecture, 96, "wrong-target", "architecture")
        enforceable = value["freshness"]["lease"] == "grace" and value["silence"]["stop_seconds"] is None
        need(enforceable, 91, "verifier-too-old", "section 11")
        return value, sha

    def _grown(self, value, active):
        path = f"group/{active['group']}.group.json"
        data = self.source.get(path, documents.LIMITS["group"])
        need(sha256(data) == active["group"], 81, "digest", path)
        before = documents.read("group", data)
        need(set(before["revoked"]) <= set(value["revoked"]), 83, "revoked-shrunk")
        ledger = {flag["id"]: flag for flag in value["ledger"]}
        for flag in before["ledger"]:
            new = ledger.get(flag["id"])
            kept = new and new["name"] == flag["name"] and new["meaning"] == flag["meaning"]
            need(kept and not (flag["state"] == "retired" and new["state"] == "active"), 79, "ledger-shrunk", f"flag {flag['id']}")

    def the_group(self, architecture):
        """The one followed group that lists this host."""
        followed = sorted(self.state["groups"])
        listed = [
            group for group in followed
            if group in self.index["groups"] and self.state["identity"]["host"] in self.group(group)[0]["hosts"]
        ]
        need(len(listed) <= 1, 86, "host-in-two-groups", str(listed))
        group = (listed or followed)[0]
        return group, *self.assign(group, architecture)
