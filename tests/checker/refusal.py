"""The one error of the checker: an exit code and a reason word, both of FORMAT.md section 9."""


class Refused(Exception):
    """A document, bundle or command is refused."""

    def __init__(self, code, word, why=""):
        super().__init__(f"[{code} {word}] {why}")
        self.code = code
        self.word = word


def need(condition, code, word, why=""):
    """Refuses unless `condition` holds."""
    if not condition:
        raise Refused(code, word, why)


def malformed(why=""):
    """What is not as FORMAT.md says."""
    return Refused(90, "malformed", why)


def at_most(count, limit, what):
    """A count of section 10."""
    need(count <= limit, 90, "limit", f"{count} {what}")
