"""Examples at the end of the help pages; a test checks that they parse."""

from collections.abc import Mapping, Sequence

EXAMPLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "": [
        ("demo", "try it on ten bundled tracks"),
        ("caption my-music/ captions/", "caption a folder"),
        ("export captions/ captions.csv", "the captions as CSV"),
    ],
    "demo": [
        ("demo", "ten bundled tracks, captions in muscaps-demo/"),
        ("demo --output /tmp/demo", "the same, captions in another folder"),
    ],
    "caption": [
        ("caption my-music/ captions/", "a folder; repeat it to continue, or to caption new tracks"),
        ("caption tracks.csv captions/ --limit 100 --save-features", "try 100 tracks; keep features for search"),
        ("caption s3://library/audio/ s3://library/captions/ --address auto", "a bucket, on this Ray cluster"),
    ],
    "retry": [
        ("retry my-music/ captions/", "tracks whose last attempt failed"),
        ("retry tracks.csv captions/ --gpus 0", "without GPUs"),
        ("retry s3://library/audio/ s3://library/captions/ --address auto", "on this Ray cluster"),
    ],
    "verify": [
        ("verify my-music/ captions/", "exit status 0: every track is there exactly once"),
        ("verify tracks.csv captions/ --match-by uri", "files captioned under another id count"),
        ("verify tracks.csv captions/ --json", "for a program"),
    ],
    "compact": [
        ("compact captions/", "after many small runs"),
        ("compact s3://library/captions/ --target-mb 512", "larger files, for a data lake"),
    ],
    "status": [
        ("status captions/", "of the run in progress, else of the last one"),
        ("status s3://library/captions/ --hourly-price 3.20", "with the cost"),
        ("status captions/ --json", "for a program"),
    ],
    "export": [
        ("export captions/ captions.csv --excel", "CSV that Excel reads"),
        ("export captions/ sourceaudio.csv --profile sourceaudio", "what SourceAudio imports"),
        ("export captions/ tagged/ --tags copies", "tagged copies of the audio"),
    ],
    "report": [
        ("report captions/ report.html", "one page"),
        ("report captions/ report.html --tracks 500", "500 tracks in its table"),
        ("report s3://library/captions/ report.html --listen-hours 8", "links that play for 8 hours"),
    ],
    "review": [
        ("review sample captions/ 100", "a page with 100 tracks; save reviews.jsonl there"),
        ("review apply captions/ reviews.jsonl", "write the decisions into the output"),
        ("review score captions/", "share of captions accepted as they are"),
    ],
    "review sample": [
        ("review sample captions/ 100", "100 tracks at random, in captions/review.html"),
        ("review sample captions/ 100 --by least-certain", "the 100 least certain captions"),
        ("review sample s3://library/captions/ 50 review.html --listen-hours 8", "links that play for 8 hours"),
    ],
    "review apply": [
        ("review apply captions/ reviews.jsonl", "into captions/reviews/"),
        ("review apply s3://library/captions/ reviews.jsonl --json", "for a program"),
    ],
    "review score": [
        ("review score captions/", "shares with intervals, by certainty"),
        ("review score captions/ --json", "for a program"),
    ],
    "search": [
        ('search captions/ "dark brooding synth pads"', "the ten best tracks"),
        ('search captions/ "calm piano, no drums" --where "bpm < 100"', "with a condition on columns"),
        ("search captions/ --like TRACK_ID", "tracks that sound like one"),
        ('search s3://library/captions/ "fast rock" --address auto', "on this Ray cluster"),
    ],
    "submit": [
        ("submit -- caption s3://library/audio/ s3://library/captions/", "follow it here; Ctrl-C leaves it running"),
        ("submit --no-wait -- compact s3://library/captions/", "return at once"),
        ("submit --env AWS_PROFILE -- compact s3://library/captions/", "with a variable of this machine"),
    ],
    "job": [
        ("job list --address http://head:8265", "jobs of a cluster"),
        ("job logs muscaps-1a2b --follow", "follow a job"),
        ("job stop muscaps-1a2b", "stop it; finished tracks are written"),
    ],
    "job list": [
        ("job list", "of the cluster in RAY_API_SERVER_ADDRESS"),
        ("job list --address http://head:8265 --json", "for a program"),
    ],
    "job status": [
        ("job status muscaps-1a2b", "ID as `muscaps submit` printed it"),
        ("job status muscaps-1a2b --json", "for a program"),
    ],
    "job logs": [
        ("job logs muscaps-1a2b", "what the job printed until now"),
        ("job logs muscaps-1a2b --follow", "until it ends"),
    ],
    "job stop": [
        ("job stop muscaps-1a2b", "wait until its finished tracks are written"),
        ("job stop muscaps-1a2b --no-wait", "return at once"),
    ],
    "checkpoint": [
        ("checkpoint show", "the bundled captioner"),
        ("checkpoint import musicnn-0.1.0-py3-none-any.whl musicnn/", "an audio network for `muscaps train`"),
    ],
    "checkpoint import": [
        ("checkpoint import experiment/ captioner/", "a published experiment folder"),
        ("checkpoint import musicnn-0.1.0-py3-none-any.whl musicnn/", "the published musicnn"),
        ("checkpoint import musicnn-0.1.0/ msd/ --model MSD_musicnn", "its other weights"),
    ],
    "checkpoint show": [
        ("checkpoint show", "the bundled captioner"),
        ("checkpoint show captioner/best", "a captioner of yours, with the verdict of its training"),
        ("checkpoint show captioner/best --json", "the whole model card"),
    ],
    "dataset": [
        ("dataset prepare pairs.csv data/", "columns uri and caption"),
    ],
    "dataset prepare": [
        ("dataset prepare pairs.csv data/", "columns uri and caption"),
        ("dataset prepare pairs.csv data/ --min-seconds 0 --keep-duplicates", "keep short tracks, equal captions"),
        ("dataset prepare pairs.parquet data/ --extractor tagger/extractor", "features of another audio network"),
    ],
    "corpus": [
        ("corpus render corpus/ --num-clips 200", "clips with true captions"),
        ("corpus describe tracks.csv pairs.parquet", "captions from the facts of your catalogue"),
    ],
    "corpus describe": [
        ("corpus describe tracks.csv pairs.parquet", "columns instruments, feel, genre, bpm"),
        ("corpus describe corpus/pairs.parquet pairs.parquet --num-captions 4", "of rendered clips"),
    ],
    "corpus render": [
        ("corpus render corpus/ --num-clips 200", "a small corpus"),
        ("corpus render corpus/ --scores scores/ --soundfont piano.sf2", "own scores and sounds"),
        ("corpus render s3://library/corpus --num-workers 16", "in 16 processes"),
    ],
    "pretrain": [
        ("pretrain data/ tagger/", "musicnn"),
        ("pretrain data/ tagger/ --architecture hcnn --gpu", "Harmonic CNN, on a GPU"),
        ("pretrain data/ tagger/ --max-minutes 30", "with a time limit"),
    ],
    "train": [
        ("train data/ captioner/ --from bundled", "fine-tune the bundled captioner"),
        ("train data/ captioner/ --extractor tagger/extractor", "the paper's method"),
        ("train data/ captioner/ --extractor tagger/extractor --fusion attention", "with attention"),
    ],
    "evaluate": [
        ("evaluate data/ captioner/best", "a captioner on the test split"),
        ("evaluate --captions captions.jsonl", "any predictions and references"),
        ("evaluate --facts tracks.csv captions/", "captions against a catalogue's facts"),
    ],
    "experiment": [
        ("experiment toy trial/ --scale small", "all of it in minutes, on synthesised tones"),
        ("experiment data/ study/ --scale cpu --facts pairs.parquet", "on CPU cores, with the truth of captions"),
        ("experiment data/ study/ --address auto", "the paper's sizes, on this Ray cluster"),
        ("experiment data/ study/ --system musicnn --seed 0", "one system, one seed"),
    ],
    "bench": [
        ("bench", "on medleys of the demo tracks"),
        ("bench my-music/ --tracks 60,120", "on your own tracks, two sizes"),
        ("bench --precision bfloat16 --json", "in another precision, for a program"),
    ],
}
"""Command -> (words after `muscaps`, what for)."""
