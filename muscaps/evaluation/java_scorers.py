"""PTB tokenizer and METEOR 1.5 of the COCO caption tools, run as Java processes.

Conventions: the jars come with pycocoevalcap 1.2 and get the arguments it gives them, so the numbers are the
field's. The locale is fixed, because the tools format and parse decimals with it, and so is the encoding. All
texts are one line each. METEOR loads its paraphrase table for about ten seconds: start it once per run.
"""

import importlib.util
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

JAVA_FLAGS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-XX:+UseSerialGC")


PTB_PUNCTUATION = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";")
)
"""Tokens the COCO tools drop. The brackets are listed in capitals while the tokens are lower case, so
brackets stay as `-lrb-` and `-rrb-`; every published score has them."""


PYCOCOEVALCAP_REMEDY = "caption metrics need pycocoevalcap 1.2: pip install 'pycocoevalcap==1.2'"


class JavaToolError(RuntimeError):
    """A Java scorer failed; the message ends with its stderr output."""


def find_java() -> str | None:
    """Return the `java` on the PATH, or None."""
    return shutil.which("java")


def one_line(text: str) -> str:
    """Collapse every run of white space, line separators included, into one space.

    The tokenizer works line by line: one U+2028 inside a caption would shift every later caption.
    """
    return " ".join(text.split())


def ptb_tokenize(texts: Sequence[str], java: str) -> list[str]:
    """Tokenize captions as the COCO tools do: Penn Treebank tokens, lower case, punctuation dropped.

    Args:
        texts: Captions; any white space in them counts as one space.
        java: Path of the `java` program.

    Returns:
        One string of space-separated tokens per caption, empty where a caption holds only punctuation.

    Raises:
        JavaToolError: The tokenizer failed or lost a line.
    """
    if not texts:
        return []
    jar = package_folder() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    command = [java, *JAVA_FLAGS, "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    lines = "".join(one_line(text) + "\n" for text in texts)
    finished = subprocess.run(
        [*command, "-preserveLines", "-lowerCase"],
        input=lines.encode(errors="replace"),
        capture_output=True,
        check=False,
    )
    output_lines = finished.stdout.decode().split("\n")[:-1]
    if finished.returncode != 0 or len(output_lines) != len(texts):
        raise JavaToolError(
            f"the PTB tokenizer exited with {finished.returncode} and {len(output_lines)} lines for {len(texts)} "
            f"captions: {finished.stderr.decode(errors='replace')[-500:]}"
        )
    return [
        " ".join(token for token in line.split(" ") if token not in PTB_PUNCTUATION).strip() for line in output_lines
    ]


class Meteor(AbstractContextManager["Meteor"]):
    """METEOR 1.5 as one JVM that lives until closed, so that its tables are loaded once.

    Raises:
        JavaToolError: From `score`, when the process ended or its output is invalid.
    """

    def __init__(self, java: str) -> None:
        jar = package_folder() / "meteor" / "meteor-1.5.jar"
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._process = subprocess.Popen(
            [java, *JAVA_FLAGS, "-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"],
            cwd=jar.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._statistics: dict[str, str] = {}  # request -> match counts; searches often find the same caption

    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
        """Score tokenized captions against their references.

        Args:
            predictions: One caption per track.
            references: Its references, at least one per track.

        Returns:
            The corpus score and one score per caption, 0 to 1. The corpus score is computed from summed
            match counts, so it is not the mean.
        """
        requests = [
            " ||| ".join(["SCORE", *map(_without_separator, truths), _without_separator(prediction)])
            for prediction, truths in zip(predictions, references, strict=True)
        ]
        new = [line for line in dict.fromkeys(requests) if line not in self._statistics]
        writer = threading.Thread(target=self._write, args=("".join(line + "\n" for line in new),))
        writer.start()
        self._statistics.update((line, self._read()) for line in new)
        writer.join()
        self._write(" ||| ".join(["EVAL", *(self._statistics[line] for line in requests)]) + "\n")
        per_caption = [float(self._read()) for _ in requests]
        return float(self._read()), per_caption

    def close(self) -> None:
        """Stop the JVM; safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text.encode(errors="replace"))
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # the process ended: `_read` raises the reason, with its stderr
            return

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._stderr.seek(0)
            raise JavaToolError(f"METEOR stopped: {self._stderr.read()[-500:].decode(errors='replace')}")
        return line.decode().strip()


def package_folder() -> Path:
    found = importlib.util.find_spec("pycocoevalcap")
    if found is None or not found.submodule_search_locations:
        raise ImportError(PYCOCOEVALCAP_REMEDY)
    return Path(next(iter(found.submodule_search_locations)))


def _without_separator(text: str) -> str:
    return " ".join(text.replace("|||", " ").split())
