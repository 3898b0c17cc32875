"""The Java programs of the COCO caption tools, run as processes: PTB tokenizer, METEOR 1.5 and SPICE 1.0.

Conventions: the jars come with pycocoevalcap 1.2 and get the arguments it gives them, so the numbers are the
field's. The locale is fixed, because the tools format and parse decimals with it, and so is the encoding. All
texts are one line each. METEOR loads its paraphrase table for about ten seconds: start it once a run.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

JAVA_FLAGS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-XX:+UseSerialGC")

PTB_PUNCTUATION = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";")
)
"""Tokens the COCO tools drop. The brackets are listed in capitals while the tokens are lower case, so
brackets stay as `-lrb-` and `-rrb-`; every published score has them."""

PYCOCOEVALCAP_REMEDY = "caption metrics need pycocoevalcap 1.2: pip install 'muscaps[evaluate]'"

SPICE_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
SPICE_REMEDY = (
    "SPICE needs Stanford CoreNLP 3.6.0: unpack stanford-corenlp-full-2015-12-09.zip "
    "(stanfordnlp.github.io/CoreNLP/history.html) and name its folder with --spice-corenlp"
)
# SPICE reaches into java.base by reflection; Java 17 closed those packages.
_SPICE_OPENS = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.math", "java.net", "java.text", "java.util", "java.util.concurrent")
)
# SPICE asks a JavaScript engine for one thing: to indent its JSON. Java 15 removed the engine, so this one
# answers the same question by handing the JSON back unindented.
_SHIM_SOURCE = """
import java.io.Reader;
import java.util.List;
import javax.script.*;

public class JsonEchoEngine extends AbstractScriptEngine {
    public Object eval(String script, ScriptContext context) {
        put("result", get("jsonString"));
        return get("result");
    }
    public Object eval(Reader script, ScriptContext context) { return eval("", context); }
    public Bindings createBindings() { return new SimpleBindings(); }
    public ScriptEngineFactory getFactory() { return new Factory(); }

    public static class Factory implements ScriptEngineFactory {
        public String getEngineName() { return "JsonEcho"; }
        public String getEngineVersion() { return "1"; }
        public List<String> getExtensions() { return List.of(); }
        public List<String> getMimeTypes() { return List.of(); }
        public List<String> getNames() { return List.of("JavaScript"); }
        public String getLanguageName() { return "JavaScript"; }
        public String getLanguageVersion() { return "1"; }
        public Object getParameter(String key) { return null; }
        public String getMethodCallSyntax(String object, String method, String... args) { return ""; }
        public String getOutputStatement(String message) { return ""; }
        public String getProgram(String... statements) { return ""; }
        public ScriptEngine getScriptEngine() { return new JsonEchoEngine(); }
    }
}
"""


class JavaToolError(RuntimeError):
    """A Java scorer did not answer as it should; the message ends with what it wrote to stderr."""


def find_java() -> str | None:
    """Return the `java` on the PATH, or None."""
    return shutil.which("java")


def one_line(text: str) -> str:
    """Collapse every run of white space, line separators included, into one space.

    The tokenizer answers line by line: one stray U+2028 would shift every later caption.
    """
    return " ".join(text.split())


def ptb_tokenize(texts: Sequence[str], java: str) -> list[str]:
    """Tokenize captions as the COCO tools do: Penn Treebank tokens, lower case, punctuation dropped.

    Args:
        texts: Captions; any white space in them counts as one space.
        java: Path of the `java` program.

    Returns:
        One string of space-separated tokens per caption, empty where nothing but punctuation was said.

    Raises:
        JavaToolError: The tokenizer failed or lost a line.
    """
    if not texts:
        return []
    jar = _package_folder() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    command = [java, *JAVA_FLAGS, "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    lines = "".join(one_line(text) + "\n" for text in texts)
    finished = subprocess.run(
        [*command, "-preserveLines", "-lowerCase"],
        input=lines.encode(errors="replace"),
        capture_output=True,
        check=False,
    )
    answers = finished.stdout.decode().split("\n")[:-1]
    if finished.returncode != 0 or len(answers) != len(texts):
        raise JavaToolError(
            f"the PTB tokenizer exited with {finished.returncode} and {len(answers)} lines for {len(texts)} "
            f"captions: {finished.stderr.decode(errors='replace')[-500:]}"
        )
    return [
        " ".join(token for token in answer.split(" ") if token not in PTB_PUNCTUATION).strip() for answer in answers
    ]


class Meteor:
    """METEOR 1.5 as one JVM that lives until closed, so that its tables load once a run.

    Raises:
        JavaToolError: From `score`, when the program stopped or answered nonsense.
    """

    def __init__(self, java: str) -> None:
        jar = _package_folder() / "meteor" / "meteor-1.5.jar"
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._process = subprocess.Popen(
            [java, *JAVA_FLAGS, "-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"],
            cwd=jar.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )

    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
        """Score tokenized captions against their references.

        Args:
            predictions: One caption per track.
            references: Its references, at least one per track.

        Returns:
            The corpus score and one score per caption, 0 to 1. The corpus score is computed from summed
            match counts, so it is not the mean.
        """
        questions = [
            " ||| ".join(["SCORE", *map(_without_separator, truths), _without_separator(prediction)])
            for prediction, truths in zip(predictions, references, strict=True)
        ]
        writer = threading.Thread(target=self._write, args=("".join(line + "\n" for line in questions),))
        writer.start()
        statistics = [self._read() for _ in questions]
        writer.join()
        self._write(" ||| ".join(["EVAL", *statistics]) + "\n")
        per_caption = [float(self._read()) for _ in questions]
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text.encode(errors="replace"))
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # the program died: reading its answer says so, with its stderr
            return

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._stderr.seek(0)
            raise JavaToolError(f"METEOR stopped: {self._stderr.read()[-500:].decode(errors='replace')}")
        return line.decode().strip()


def spice_obstacle(corenlp: Path | None, java: str | None) -> str | None:
    """Say why SPICE cannot run here, with the remedy, or return None if it can."""
    if java is None:
        return "SPICE needs Java 8 or newer on the PATH"
    if corenlp is None:
        return SPICE_REMEDY
    absent = [name for name in SPICE_JARS if not (corenlp / name).is_file()]
    if absent:
        return f"{corenlp} holds no {' and no '.join(absent)}; {SPICE_REMEDY}"
    if shutil.which("javac") is None and not list(corenlp.glob("nashorn-core*.jar")):
        return (
            "SPICE on Java 15 or newer needs a JavaScript engine: install a JDK (javac), or put nashorn-core "
            f"and the ASM jars it depends on into {corenlp}"
        )
    return None


def spice(
    predictions: Sequence[str], references: Sequence[Sequence[str]], *, corenlp: Path, java: str
) -> tuple[float, list[float]]:
    """Score tokenized captions by the scene graphs they share with their references (SPICE 1.0).

    Args:
        predictions: One caption per track.
        references: Its references, at least one per track.
        corenlp: Folder with the Stanford CoreNLP 3.6.0 jars; any other jar in it joins the class path.
        java: Path of the `java` program.

    Returns:
        The mean F-score and one F-score per caption, 0 to 1.

    Raises:
        ValueError: `spice_obstacle` names something missing.
        JavaToolError: SPICE failed.
    """
    obstacle = spice_obstacle(corenlp, java)
    if obstacle is not None:
        raise ValueError(obstacle)
    with tempfile.TemporaryDirectory(prefix="muscaps-spice-") as scratch:
        questions, answers = Path(scratch, "captions.json"), Path(scratch, "scores.json")
        questions.write_text(
            json.dumps(
                [
                    {"image_id": index, "test": prediction, "refs": list(truths)}
                    for index, (prediction, truths) in enumerate(zip(predictions, references, strict=True))
                ]
            ),
            encoding="utf-8",
        )
        class_path = [str(_package_folder() / "spice" / "spice-1.0.jar"), f"{corenlp}{os.sep}*"]
        if shutil.which("javac") is not None:
            class_path.append(str(build_script_engine_shim(Path(scratch, "shim"))))
        command = [java, *JAVA_FLAGS, *_SPICE_OPENS, "-Xmx8G", "-cp", os.pathsep.join(class_path)]
        finished = subprocess.run(
            [
                *command,
                "edu.anu.spice.SpiceScorer",
                str(questions),
                "-out",
                str(answers),
                "-silent",
            ],
            capture_output=True,
            check=False,
        )
        if finished.returncode != 0 or not answers.is_file():
            raise JavaToolError(f"SPICE failed: {finished.stderr.decode(errors='replace')[-1000:]}")
        scored = {item["image_id"]: float(item["scores"]["All"]["f"]) for item in json.loads(answers.read_text())}
    per_caption = [scored[index] for index in range(len(predictions))]
    return sum(per_caption) / len(per_caption), per_caption


def build_script_engine_shim(folder: Path) -> Path:
    """Compile the engine SPICE asks for by the name JavaScript; return `folder`, ready for a class path.

    Raises:
        JavaToolError: `javac` refused it.
    """
    services = folder / "META-INF" / "services"
    services.mkdir(parents=True)
    (services / "javax.script.ScriptEngineFactory").write_text("JsonEchoEngine$Factory\n")
    source = folder / "JsonEchoEngine.java"
    source.write_text(_SHIM_SOURCE)
    built = subprocess.run(["javac", "-d", str(folder), str(source)], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise JavaToolError(f"javac could not build the script engine SPICE needs: {built.stderr[-500:]}")
    return folder


def _package_folder() -> Path:
    found = importlib.util.find_spec("pycocoevalcap")
    if found is None or not found.submodule_search_locations:
        raise ImportError(PYCOCOEVALCAP_REMEDY)
    return Path(next(iter(found.submodule_search_locations)))


def _without_separator(text: str) -> str:
    return " ".join(text.replace("|||", " ").split())
