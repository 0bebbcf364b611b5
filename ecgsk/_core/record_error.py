"""The error of one record among many, whose message may quote an untrusted file."""

_LONGEST_REASON = 400


class RecordError(ValueError):
    """A record cannot be read."""

    def __init__(self, file: str, reason: str, missing: bool = False):
        # It may quote a file that holds anything.
        reason = printable(reason[:_LONGEST_REASON]) + " ..." * (len(reason) > _LONGEST_REASON)
        # All arguments go to the base class so that the error can be pickled by a worker process.
        super().__init__(file, reason, missing)
        self.file = file  # its path; for WFDB that of the header
        self.reason = reason
        self.missing = missing  # whether a file does not exist

    def __str__(self) -> str:
        return f"{printable(self.file)}: {self.reason}"


def printable(text: str) -> str:
    """Return a text with escapes for what is not printable, such as a terminal's commands."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
