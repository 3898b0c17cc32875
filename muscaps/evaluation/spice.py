"""SPICE 1.0, run as a Java process; the jar comes with pycocoevalcap 1.2, CoreNLP from a folder the user names."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from muscaps.evaluation.java_scorers import (
    JAVA_FLAGS,
    JavaToolError,
    package_folder,
)

SPICE_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


SPICE_REMEDY = (
    "SPICE needs Stanford CoreNLP 3.6.0: unpack stanford-corenlp-full-2015-12-09.zip "
    "(stanfordnlp.github.io/CoreNLP/history.html) and name its folder with --spice-corenlp"
)


# SPICE uses reflection on java.base; Java 17 closed those packages.
_SPICE_OPENS = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.math", "java.net", "java.text", "java.util", "java.util.concurrent")
)


# SPICE uses a JavaScript engine for one purpose: to indent its JSON. Java 15 removed the engine, so this one
# returns the JSON as it is, without indentation.
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


def spice_obstacle(corenlp: Path | None, java: str | None) -> str | None:
    """Return why SPICE cannot run here, with the remedy, or None if it can."""
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
        captions_file, scores_file = Path(scratch, "captions.json"), Path(scratch, "scores.json")
        captions_file.write_text(
            json.dumps(
                [
                    {"image_id": index, "test": prediction, "refs": list(truths)}
                    for index, (prediction, truths) in enumerate(zip(predictions, references, strict=True))
                ]
            ),
            encoding="utf-8",
        )
        class_path = [str(package_folder() / "spice" / "spice-1.0.jar"), f"{corenlp}{os.sep}*"]
        if shutil.which("javac") is not None:
            class_path.append(str(build_script_engine_shim(Path(scratch, "shim"))))
        command = [java, *JAVA_FLAGS, *_SPICE_OPENS, "-Xmx8G", "-cp", os.pathsep.join(class_path)]
        finished = subprocess.run(
            [
                *command,
                "edu.anu.spice.SpiceScorer",
                str(captions_file),
                "-out",
                str(scores_file),
                "-silent",
            ],
            capture_output=True,
            check=False,
        )
        if finished.returncode != 0 or not scores_file.is_file():
            raise JavaToolError(f"SPICE failed: {finished.stderr.decode(errors='replace')[-1000:]}")
        scored = {item["image_id"]: float(item["scores"]["All"]["f"]) for item in json.loads(scores_file.read_text())}
    per_caption = [scored[index] for index in range(len(predictions))]
    return sum(per_caption) / len(per_caption), per_caption


def build_script_engine_shim(folder: Path) -> Path:
    """Compile the engine that SPICE requests by the name JavaScript; return `folder`, to be put on a class path.

    Raises:
        JavaToolError: `javac` failed.
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
