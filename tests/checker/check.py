#!/usr/bin/env python3
"""An independent reader of FORMAT.md: runs the conformance vectors, and says where it does not agree.

It follows verifier/FORMAT.md and shares no code with the verifier. Standard library, `cryptography` for Ed25519, and the
`zstd` program. It is a second opinion for the tests, not a verifier: it keeps nothing, fetches nothing and starts nothing.

    python3 tests/checker/check.py [tests/vectors]

Exit code: 0 it agrees on every vector; 1 it does not; 2 it could not look.
"""

import json
import pathlib
import sys

import bundle
import documents
import keys
from host import Host
from refusal import Refused

DONE = (0, "done")


def verdict(look):
    """Code and word."""
    try:
        look()
    except Refused as refused:
        return refused.code, refused.word
    return DONE


def document_cases(root):
    for directory in sorted((root / "documents").iterdir()):
        suite = json.loads((directory / "cases.json").read_bytes())
        for case in suite["cases"]:
            data = (directory / case["file"]).read_bytes()
            data += b" " * (case["pad"] - len(data))
            have = verdict(lambda: documents.read(suite["kind"], data))
            yield f"documents/{suite['kind']}/{case['file']}", (case["code"], case["word"]), have


def signature_cases(root):
    directory = root / "signatures"
    suite = json.loads((directory / "cases.json").read_bytes())
    hashed = keys.blake2b((directory / suite["document"]).read_bytes())
    for case in suite["cases"]:

        def look():
            envelope = keys.Envelope((directory / case["file"]).read_bytes())
            envelope.check_comment(suite["comment"])
            envelope.verify(keys.public(suite["public"]), hashed)

        yield f"signatures/{case['file']}", (case["code"], case["word"]), verdict(look)


def bundle_cases(root):
    directory = root / "bundles"
    for case in json.loads((directory / "cases.json").read_bytes())["cases"]:

        def look():
            group = documents.read("group", (directory / f"{case['name']}.group.json").read_bytes())
            bundle.unpack((directory / f"{case['name']}.tar.zst").read_bytes(), group)

        yield f"bundles/{case['name']}", (case["code"], case["word"]), verdict(look)


def tree(directory):
    """All files below a directory, by their path in it."""
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def command_cases(root):
    bases = {directory.name: tree(directory) for directory in (root / "repositories").iterdir()}
    for directory in sorted((root / "commands").iterdir()):
        case = json.loads((directory / "case.json").read_bytes())
        files = {path: data for path, data in bases[case["base"]].items() if path not in case["without"]}
        files |= tree(directory / "repository")
        expect = case["expect"]
        after = case["before"] if expect["after"] == "unchanged" else expect["after"]
        host = Host(case, files)
        have = verdict(lambda: host.command(case["command"]))
        yield f"commands/{directory.name}", (expect["code"], expect["word"], expect["aloud"], after), (*have, host.aloud, host.after)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "vectors")
    total = wrong = 0
    for cases in (document_cases, signature_cases, bundle_cases, command_cases):
        for name, want, have in cases(root):
            total += 1
            if want != have:
                wrong += 1
                print(f"disagrees: {name}")
                for item, other in zip(want, have):
                    if item != other:
                        print(f"  want  {item}\n  have  {other}")
    print(f"{total - wrong} of {total} vectors: the checker agrees")
    return 0 if total and not wrong else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        print(f"cannot look: {error}", file=sys.stderr)
        sys.exit(2)
