"""Score captions.json with implementations that muscaps does not use, and write scores.json.

The packages go into a virtual environment of their own (versions in README.md). METEOR runs from the command line
of its jar, which is part of pycocoevalcap.

    python measure.py path/to/meteor-1.5.jar
"""

import importlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import types
from importlib.metadata import version
from pathlib import Path

import sacrebleu
from nltk.translate.bleu_score import corpus_bleu

HERE = Path(__file__).parent


def import_aac_metrics():
    """Import aac-metrics' CIDEr-D and ROUGE-L without its neural metrics, which need transformers."""
    root = Path(importlib.util.find_spec("aac_metrics").origin).parent
    for name, folder in (("aac_metrics", root), ("aac_metrics.functional", root / "functional")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    cider = importlib.import_module("aac_metrics.functional.cider_d").cider_d
    return cider, importlib.import_module("aac_metrics.functional.rouge_l").rouge_l


def nltk_bleu(predictions, references, order):
    """Return corpus BLEU of an order, without smoothing."""
    return corpus_bleu(
        [[reference.split() for reference in group] for group in references],
        [prediction.split() for prediction in predictions],
        weights=[1 / order] * order,
    )


def sacre_bleu(predictions, references, order):
    """Return corpus BLEU of an order by a second library; unequal numbers of references are padded with None."""
    most = max(map(len, references))
    streams = [[group[n] if n < len(group) else None for group in references] for n in range(most)]
    judge = sacrebleu.BLEU(max_ngram_order=order, tokenize="none", smooth_method="none")
    return judge.corpus_score(predictions, streams).score / 100


def meteor(jar, predictions, references):
    """Return METEOR's corpus score and the score per caption, from the program's own command line.

    The program needs the same number of references for each caption. METEOR takes the best reference, so repeating
    one changes nothing.
    """
    most = max(map(len, references))
    padded = [group + group[:1] * (most - len(group)) for group in references]
    with tempfile.TemporaryDirectory() as folder:
        hypothesis, reference = Path(folder) / "hypothesis", Path(folder) / "reference"
        hypothesis.write_text("".join(line + "\n" for line in predictions))
        reference.write_text("".join(line + "\n" for group in padded for line in group))
        command = ["java", "-Xmx2G", "-jar", jar, hypothesis, reference, "-l", "en", "-norm", "-r", str(most)]
        output = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    scores = [line for line in output.splitlines() if "score:" in line]
    per_caption = [float(line.split()[-1]) for line in scores if line.startswith("Segment")]
    [corpus] = [float(line.split()[-1]) for line in scores if line.startswith("Final score:")]
    return corpus, per_caption


def main():
    captions = json.loads((HERE / "captions.json").read_text())
    predictions, references = captions["predictions"], captions["references"]
    scores = {"corpus": {}, "per_caption": {}}
    for order in range(1, 5):
        first, second = (bleu(predictions, references, order) for bleu in (nltk_bleu, sacre_bleu))
        assert abs(first - second) < 1e-9, (order, first, second)
        scores["corpus"][f"bleu_{order}"] = first
    cider_d, rouge_l = import_aac_metrics()
    for name, function in (("cider", cider_d), ("rouge_l", rouge_l)):
        corpus, single = function(predictions, references, tokenizer=str.split)
        key = "cider_d" if name == "cider" else name
        scores["corpus"][name] = float(corpus[key])
        scores["per_caption"][name] = [float(value) for value in single[key]]
    scores["corpus"]["meteor"], scores["per_caption"]["meteor"] = meteor(sys.argv[1], predictions, references)
    scores["tools"] = {name: version(name) for name in ("nltk", "sacrebleu", "aac-metrics")} | {"meteor": "1.5"}
    (HERE / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    main()
