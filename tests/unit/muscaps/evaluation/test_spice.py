"""SPICE: what it needs, and how its answers are read."""

import shutil
import subprocess
from pathlib import Path

import pytest

from muscaps.evaluation import spice
from muscaps.evaluation.spice import build_script_engine_shim, spice_obstacle


def test_without_corenlp_spice_says_how_to_get_it(tmp_path: Path) -> None:
    assert "stanford-corenlp-full-2015-12-09.zip" in spice_obstacle(None, "java")
    assert "stanford-corenlp-3.6.0-models.jar" in spice_obstacle(tmp_path, "java")
    with pytest.raises(ValueError, match=r"holds no stanford-corenlp-3\.6\.0\.jar"):
        spice.spice(["a"], [["a"]], corenlp=tmp_path, java="java")


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK")
def test_the_script_engine_shim_answers_to_the_name_spice_asks_for(tmp_path: Path) -> None:
    shim = build_script_engine_shim(tmp_path / "shim")
    (tmp_path / "Ask.java").write_text(
        "import javax.script.*; public class Ask { public static void main(String[] a) throws Exception {"
        'ScriptEngine e = new ScriptEngineManager().getEngineByName("JavaScript");'
        'e.put("jsonString", "[1]"); e.eval("result = JSON.stringify(JSON.parse(jsonString), null, 2)");'
        'System.out.print((String) e.get("result")); } }'
    )
    subprocess.run(["javac", "-d", str(tmp_path), str(tmp_path / "Ask.java")], check=True)
    answer = subprocess.run(["java", "-cp", f"{tmp_path}:{shim}", "Ask"], check=True, capture_output=True, text=True)
    assert answer.stdout == "[1]"


def test_spice_reads_its_scores_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # CoreNLP's models cannot be had here; a stand-in for `java` answers in SPICE's output format.
    for name in spice.SPICE_JARS:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "nashorn-core-15.4.jar").write_bytes(b"")
    real_which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "javac" else real_which(name))
    java = tmp_path / "java"
    java.write_text(
        "#!/usr/bin/env python3\nimport json, sys\n"
        "at = sys.argv.index('edu.anu.spice.SpiceScorer')\n"
        "rows = json.load(open(sys.argv[at + 1]))\n"
        "good = {r['image_id']: float(r['test'] in r['refs']) for r in rows}\n"
        "out = [{'image_id': i, 'scores': {'All': {'f': f}}} for i, f in good.items()]\n"
        "json.dump(out[::-1], open(sys.argv[at + 3], 'w'))\n"
    )
    java.chmod(0o755)
    predictions, references = ["a", "b", "c", "d"], [["a"], ["x"], ["y", "c"], ["z"]]
    mean, scores = spice.spice(predictions, references, corenlp=tmp_path, java=str(java))
    assert (mean, scores) == (0.5, [1, 0, 1, 0])
