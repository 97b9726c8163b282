"""What a host does with a command: FORMAT.md section 7. A state in, a state out, or a refusal."""

import copy

import bundle
import documents
import keys
from chain import Chain, Source, Trusts, named, pinned_trust
from keys import sha256
from refusal import Refused, need
from text import seconds


class Host:
    """One command on one host. `after` is the state whatever becomes of the command."""

    def __init__(self, case, files):
        self.files, self.given = files, case["given"]
        self.now, self.architecture = seconds(case["now"]), case["architecture"]
        self.before = case["before"]
        self.after = copy.deepcopy(self.before)
        self.aloud = False

    def command(self, words):
        verb, arguments = words[0], words[1:]
        whole = isinstance(self.before, dict)
        if verb in ("init", "adopt"):
            need(not whole, 94, "state-exists")
            need(verb == "adopt" or self.before == "blank", 94, "state")
        else:
            need(self.before != "blank", 94, "not-set-up")
            need(whole, 94, "state")
        getattr(self, verb)(*arguments)

    # What commands have in common.

    def stored(self):
        return Source(self.files, stored=True)

    def offered(self):
        return Source(self.files, stored=False)

    def first(self):
        """A state that knows the pinned trust and nothing else."""
        given = self.given
        for group in given["groups"]:
            need(group.split("/")[0] == given["environment"], 96, "wrong-environment", group)
        source = self.offered()
        data = source.find(given["trust"], documents.LIMITS["trust"])
        need(data is not None and sha256(data) == given["sha256"], 92, "trust-pin", given["trust"])
        trust, digest = pinned_trust(source, given["trust"], data)
        pin = {"version": trust["version"], "sha256": digest}
        identity = {"host": given["host"], "environment": given["environment"], "repository": trust["repository"], "first_trust": pin}
        groups = {group: {"active": None, "previous": None} for group in given["groups"]}
        return {"identity": identity, "trust": dict(pin), "head": None, "index": None, "groups": groups, "latched": {}, "lifted": []}

    def latest(self, source):
        return documents.read("latest", source.get("latest", documents.LIMITS["latest"]))

    def chain(self, source, state, latest):
        """Steps 1 and 3 to 9, where latest points."""
        trusts = None
        if latest["head"] == 0:
            need(state["head"], 98, "no-head")
            raise Refused(84, "rollback", "no head any more")
        trusts = Trusts(source, state).walk(max(state["trust"]["version"], latest["trust"]))
        return Chain(source, state, trusts, latest["head"], self.now, change=True)

    def accepted(self, chain, state):
        """The state with the chain's documents."""
        state = copy.deepcopy(state)
        head = chain.head
        state["trust"] = {"version": chain.trust["version"], "sha256": chain.trust_digest}
        state["index"] = {"version": chain.index["version"], "sha256": chain.index_digest}
        state["head"] = {
            "version": head["version"], "sha256": chain.head_digest, "issued": head["issued"], "keys": sorted(chain.head_signers),
        }
        return state

    # Commands.

    def init(self):
        source, state = self.offered(), self.first()
        latest = self.latest(source)
        chain = self.chain(source, state, latest)
        self.after = self.settle(source, chain, latest, self.accepted(chain, state))

    def adopt(self, file):
        source, fresh = self.offered(), self.first()
        latest = self.latest(source)
        trust = self.chain(source, fresh, latest).trust
        adopt = named(source, trust, "adopt", file)
        identity = fresh["identity"]
        need(adopt["host"] == identity["host"], 89, "for-another-host", "host")
        need(adopt["environment"] == identity["environment"], 96, "wrong-environment")
        need(adopt["groups"] == sorted(fresh["groups"]), 89, "for-another-host", "groups")
        need(adopt["first_trust"] == identity["first_trust"], 92, "trust-pin")
        need(seconds(adopt["issued"]) <= self.now + 600, 93, "clock")
        need(self.now <= seconds(adopt["expires"]), 85, "expired", "adopt")
        state = copy.deepcopy(fresh)
        state["trust"], state["index"] = adopt["trust"], adopt["index"]
        state["head"] = {**adopt["head"], "issued": adopt["issued"], "keys": []}
        state["latched"] = {halt: None for halt in adopt["halts"]}
        chain = self.chain(source, state, latest)
        self.after = self.settle(source, chain, latest, self.accepted(chain, state))

    def update(self):
        source, state = self.offered(), self.before
        latest = self.latest(source)
        self.latch_hinted(source, latest)
        chain = self.chain(source, state, latest)
        group, value, digest = chain.the_group(self.architecture)
        self.bundle(source, chain.trust, value)
        after = self.accepted(chain, self.after)
        followed = after["groups"][group]
        old, sha = followed["active"], documents.bundle_digest(value)
        started = bool(old and old["group"] == digest and old["started"])
        if old and old["bundle"] != sha:
            followed["previous"] = old
        entry = value["bundle"]
        followed["active"] = {
            "group": digest, "bundle": sha, "product": entry["product"], "release": entry["release"], "started": started,
        }
        self.after = self.settle(source, chain, latest, after)

    def bundle(self, source, trust, group):
        """Steps 13 and 14. The store is empty: a bundle always comes from the repository."""
        path = documents.bundle_path(group)
        data = self.files.get(path)
        if data is None:
            source.get(path, 0)
        entry = group["bundle"]

        def expected():
            need(len(data) == entry["size"], 81, "size", path)
            need(sha256(data) == documents.bundle_digest(group), 81, "digest", path)

        file = path.rsplit("/", 1)[1]
        names = keys.signers(trust, "bundle", "bundle", None, file, data, source.signature(path), expected)
        keys.need_met(trust["roles"]["bundle"], names)
        bundle.unpack(data, group)

    def unpacked(self, group):
        """What the store holds of a bundle: here, what the bundle holds."""
        data = self.files.get(documents.bundle_path(group))
        need(data is not None, 94, "state", "store")
        bundle.unpack(data, group)

    def kept(self):
        """Steps 1, 3 to 5, 7 to 9 from what is stored."""
        source, state = self.stored(), self.before
        trusts = Trusts(source, state).walk(state["trust"]["version"])
        return Chain(source, state, trusts, state["head"]["version"], self.now, change=False)

    def run(self, group):
        state = self.before
        followed = state["groups"].get(group)
        active = followed["active"] if followed else None
        self.check_halts(group, active and active["bundle"], {})
        chain = self.kept()
        if followed:
            need(active, 94, "not-staged")
        else:
            need(group not in chain.index["groups"], 89, "host-not-in-group", group)
        value, digest = chain.assign(group, self.architecture)
        chain.the_group(self.architecture)
        self.unpacked(value)
        self.check_halts(group, documents.bundle_digest(value), self.listed(chain, state))
        need(value["gate"] == "none", 88, "gate-closed")
        need(active["group"] == digest, 94, "not-staged")
        issued, expires = seconds(chain.head["issued"]), seconds(chain.head["expires"])
        freshness = value["freshness"]
        if self.now <= expires and self.now <= issued + freshness["activate_seconds"]:
            self.after["groups"][group]["active"]["started"] = True
            return
        need(active["started"], 85, "expired", "a first start")
        need(self.now <= expires + freshness["restart_seconds"], 85, "expired", "the grace has ended")
        self.aloud = True

    def verify(self, full=None):
        chain = self.kept()
        for group, followed in sorted(self.before["groups"].items()):
            if followed["active"]:
                value, digest = chain.assign(group, self.architecture)
                need(followed["active"]["group"] == digest, 94, "not-staged")
                if full:
                    self.bundle(self.stored(), chain.trust, value)
                else:
                    self.unpacked(value)

    def halt(self, file):
        source, state = self.stored(), self.before
        trust = Trusts(source, state).walk(state["trust"]["version"]).trust
        data = source.find(file, documents.LIMITS["halt"])
        need(data is not None, 95, "io", file)
        value = self.signed_halt(source, trust, file, data)
        digest = sha256(data)
        need(digest not in state["lifted"], 84, "halt-lifted")
        need(digest in state["latched"] or self.concerns(state, value), 89, "for-another-host")
        self.latch(self.after, digest, value)

    # Halts: section 7.2.

    def signed_halt(self, source, trust, path, data):
        """One valid signature by any key of role halt is enough; the first refusal counts if there is none."""
        file = f"{sha256(data)}.halt.json"
        comment = keys.comment(trust["repository"], "halt", None, file)
        first, holders = None, set()
        for key in sorted(keys.role_keys(trust["roles"]["halt"])):
            found = source.signature(path)(key)
            if found is None:
                continue
            try:
                envelope = keys.Envelope(found)
                envelope.check_comment(comment)
                envelope.verify(keys.public(trust["keys"][key]["public"]), keys.blake2b(data))
                holders.add(trust["keys"][key]["holder"])
            except Refused as refused:
                first = first or refused
        if not holders:
            raise first or Refused(80, "threshold", "no signature")
        value = documents.read("halt", data)
        need(value["repository"] == trust["repository"], 80, "wrong-document", "repository")
        need(value["by"] in holders, 80, "wrong-document", "by")
        return value

    @staticmethod
    def concerns(state, halt):
        scope = halt["scope"]
        if scope == "everything" or "bundle" in scope:
            return True
        if "group" in scope:
            return scope["group"] in state["groups"]
        return scope["host"] == state["identity"]["host"]

    def latch(self, state, digest, halt):
        if digest in state["latched"]:
            state["latched"][digest] = state["latched"][digest] or halt
        elif digest not in state["lifted"] and self.concerns(state, halt) and len(state["latched"]) < 512:
            state["latched"][digest] = halt

    def latch_hinted(self, source, latest):
        """Step 2: it refuses nothing."""
        state = self.before
        accepted = state["trust"]["version"]
        try:
            trust = Trusts(source, state).walk(max(accepted, latest["trust"])).trust
        except Refused:
            try:
                trust = Trusts(source, state).walk(accepted).trust
            except Refused:
                return
        for digest in latest["halts"]:
            self.try_latch(source, trust, self.after, digest)

    def try_latch(self, source, trust, state, digest):
        path = f"halt/{digest}.halt.json"
        try:
            data = source.find(path, documents.LIMITS["halt"])
            if data is not None:
                self.latch(state, sha256(data), self.signed_halt(source, trust, path, data))
        except Refused:
            pass

    def listed(self, chain, state):
        """Halts that the accepted head lists and that were not lifted; `None`: one of everything."""
        found = {}
        for digest in chain.head["halts"]:
            if digest in state["lifted"]:
                continue
            found[digest] = None
            data = self.files.get(f"halt/{digest}.halt.json")
            if data is not None and sha256(data) == digest:
                try:
                    halt = documents.read("halt", data)
                    found[digest] = halt if halt["repository"] == chain.trust["repository"] else None
                except Refused:
                    pass
        return found

    def settle(self, source, chain, latest, state):
        """After the last step: halts of latest and of the head latch, resumes lift."""
        for digest in sorted(set(chain.head["halts"]) | set(latest["halts"]) | set(state["latched"])):
            if not state["latched"].get(digest):
                self.try_latch(source, chain.trust, state, digest)
        for digest in sorted(set(state["latched"]) | set(self.listed(chain, state))):
            path = f"resume/{digest}.resume.json"
            if path not in self.files:
                continue
            try:
                resume = named(source, chain.trust, "resume", path, f"{digest}.resume.json")
                need(resume["halt"] == digest, 80, "wrong-document", "halt")
            except Refused:
                continue
            state["latched"].pop(digest, None)
            if digest not in state["lifted"]:
                state["lifted"] = (state["lifted"] + [digest])[-1024:]
        return state

    def check_halts(self, group, active, listed):
        latched = self.before["latched"]
        need(len(latched) < 512, 87, "halted", "as many as can be kept")
        host = self.before["identity"]["host"]
        for halt in [*latched.values(), *(halt for digest, halt in listed.items() if digest not in latched)]:
            scope = halt["scope"] if halt else "everything"
            stops = scope == "everything" or scope in ({"group": group}, {"host": host}, {"bundle": active})
            need(not stops, 87, "halted", str(scope))
