"""Drum grooves: bars of General MIDI percussion keys."""

import numpy as np

from muscaps.corpus.patterns.piece import BeatNote, Piece

KICK, SNARE, CLAP, HAT, OPEN, RIDE, CRASH, RIM, LOW_TOM, MID_TOM, HIGH_TOM = 36, 38, 39, 42, 46, 51, 49, 37, 43, 47, 50
SHAKER, TAMBOURINE, COWBELL, CONGA, LOW_CONGA, BONGO, TRIANGLE, WOODBLOCK, GRAN_CASSA, CLAVES = (
    70,
    54,
    56,
    63,
    64,
    60,
    81,
    76,
    35,
    75,
)

GROOVES: dict[str, dict[int, str]] = {
    # a bar as equal steps: X accent, x normal, o ghost
    "rock": {KICK: "X.......X.x.....", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
    "rock ride": {KICK: "X.....x.X.......", SNARE: "....X.......X..o", RIDE: "x.x.x.x.x.x.x.x."},
    "half time": {KICK: "X.....x.........", SNARE: "........X.......", HAT: "x.x.x.x.x.x.x.x."},
    "metal": {KICK: "XxXxXxXxXxXxXxXx", SNARE: "....X.......X...", CRASH: "X.......x.......", RIDE: "x...x...x...x..."},
    "punk": {KICK: "X...X...X...X...", SNARE: "..X...X...X...X.", HAT: "x.x.x.x.x.x.x.x."},
    "disco": {KICK: "X...X...X...X...", SNARE: "....X.......X...", OPEN: "..x...x...x...x.", HAT: "x.o.x.o.x.o.x.o."},
    "house": {KICK: "X...X...X...X...", CLAP: "....X.......X...", OPEN: "..x...x...x...x.", SHAKER: "o.ooo.ooo.ooo.oo"},
    "techno": {KICK: "X...X...X...X...", HAT: "..x...x...x...x.", RIDE: "..o...o...o...o.", CLAP: "............X..."},
    "techno busy": {
        KICK: "X...X...X...X..x",
        HAT: "xoxoxoxoxoxoxoxo",
        RIM: "...x..x....x..x.",
        CLAP: "....X.......X...",
    },
    "electro": {
        KICK: "X.....x...X.....",
        SNARE: "....X.......X...",
        HAT: "xxxxxxxxxxxxxxxx",
        COWBELL: "..x...x.....x...",
    },
    "breakbeat": {KICK: "X.x.......x.....", SNARE: "....X..o.o..X..o", HAT: "x.x.x.x.x.x.x.x."},
    "drum and bass": {
        KICK: "X.........X.....",
        SNARE: "....X.......X...",
        HAT: "x.xxx.x.x.xxx.x.",
        SHAKER: "..o...o...o...o.",
    },
    "trap": {KICK: "X......x..X.....", CLAP: "........X.......", HAT: "x.x.x.xxx.x.xxxx"},
    "hip hop": {KICK: "X..x......X.....", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.xx"},
    "funk": {KICK: "X.x...x...x..x..", SNARE: "....X..o.o..X..o", HAT: "xxxxxxxxxxxxxxxx"},
    "chip": {KICK: "X...x...X...x...", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
    "minimal": {KICK: "X.......X.......", HAT: "..x...x...x...x."},
    "shuffle": {KICK: "X.....X.....", SNARE: "...X.....X..", RIDE: "x.xx.xx.xx.x"},
    "swing": {RIDE: "x..x.xx..x.x", HAT: "...x.....x..", KICK: "o..o..o..o.."},
    "swing brushes": {SNARE: "o.oo.oo.oo.o", HAT: "...x.....x.."},
    "ska": {KICK: "X...X...X...X...", SNARE: "....X.......X...", HAT: "..x...x...x...x."},
    "reggae": {KICK: "........X.......", RIM: "........X.......", HAT: "x.x.x.x.x.x.x.x."},
    "bossa": {KICK: "x..xx..xx..xx..x", RIM: "x..x..x...x..x..", HAT: "x.x.x.x.x.x.x.x."},
    "latin": {
        CONGA: "..x...xx..x...xx",
        LOW_CONGA: "......x.......x.",
        COWBELL: "x.x.x.x.x.x.x.x.",
        CLAVES: "x..x..x...x.x...",
    },
    "samba": {
        KICK: "x..xX..xx..xX..x",
        SHAKER: "XxxxXxxxXxxxXxxx",
        SNARE: "x.xx.xx.x.xx.xx.",
        TAMBOURINE: "..x...x...x...x.",
    },
    "congas": {CONGA: "x..xx.x.x..xx.x.", LOW_CONGA: "..x....x..x....x", SHAKER: "x.x.x.x.x.x.x.x."},
    "tribal": {
        LOW_TOM: "X..x..X.X..x..X.",
        MID_TOM: "..x..x....x..x.x",
        GRAN_CASSA: "X.......X.......",
        SHAKER: "x.x.x.x.x.x.x.x.",
    },
    "polka": {KICK: "X...X...", SNARE: "..x...x.", HAT: "..x...x."},
    "march": {GRAN_CASSA: "X...X...", SNARE: "x.xxx.xxx.xxxxxx", CRASH: "X..............."},
    "circus": {GRAN_CASSA: "X...X...", SNARE: "..x...x.", 57: "x...x...", WOODBLOCK: "x.xx..x."},
    "country": {KICK: "X...X...X...X...", SNARE: "..x...x...x...xx"},
    "waltz": {KICK: "X.....", SNARE: "..x.x.", HAT: "..x.x."},
    "waltz light": {TRIANGLE: "x.....", HAT: "..x.x."},
    "epic": {
        GRAN_CASSA: "X.....X.X.......",
        LOW_TOM: "X..X..X.X..X.X.X",
        SNARE: "....x.......x.xx",
        CRASH: "X...............",
    },
    "action": {
        LOW_TOM: "XxxXxxXxXxxXxxXx",
        MID_TOM: "..x..x....x..x..",
        GRAN_CASSA: "X.......X.....X.",
        RIM: "x.x.x.x.x.x.x.x.",
    },
    "suspense": {GRAN_CASSA: "X...............", RIM: "..x.....x.x....."},
    "pulse": {GRAN_CASSA: "X...x...X...x..."},
    "sprinkle": {TRIANGLE: "x.......x.......", SHAKER: "..x...x...x...x."},
    "woodblocks": {WOODBLOCK: "x...x.x.x...x...", 77: "..x.......x.....", TRIANGLE: "........x......."},
}
"""Drum grooves by name: General MIDI percussion keys and their steps."""


def drum_notes(groove: str, piece: Piece, rng: np.random.Generator) -> list[BeatNote]:
    """Repeat a groove with dropped and added hits, fills and crashes."""
    lines = dict(GROOVES[groove])
    optional = [key for key in lines if key not in (KICK, SNARE, GRAN_CASSA)]
    if len(lines) > 2 and optional and rng.random() < 0.25:
        del lines[int(rng.choice(optional))]
    if groove not in ("swing", "swing brushes", "suspense", "pulse", "sprinkle") and rng.random() < 0.2:
        lines[int(rng.choice([SHAKER, TAMBOURINE, CONGA, COWBELL]))] = (
            "x.x.x.x.x.x.x.x." if rng.random() < 0.6 else "..x...x...x...x."
        )
    levels = {"X": 1.0, "x": 0.75, "o": 0.4}
    scale = {
        HAT: 0.7,
        OPEN: 0.65,
        RIDE: 0.65,
        SHAKER: 0.6,
        CRASH: 0.7,
        TAMBOURINE: 0.6,
        TRIANGLE: 0.7,
        57: 0.6,
        COWBELL: 0.6,
    }
    fills = rng.random() < 0.5
    notes: list[BeatNote] = []
    for bar in range(piece.num_bars):
        start = bar * piece.beats_per_bar
        last = fills and bar % 4 == 3
        for key, steps in lines.items():
            unit = piece.beats_per_bar / len(steps)
            for step, symbol in enumerate(steps):
                if symbol == "." or (last and step * unit >= piece.beats_per_bar - 1) or rng.random() < 0.015:
                    continue
                notes.append((start + step * unit, 0.2, key, levels[symbol] * scale.get(key, 1.0)))
        if last:
            toms = (SNARE, HIGH_TOM, MID_TOM, LOW_TOM) if SNARE in lines or LOW_TOM in lines else tuple(lines)
            for step in range(4):
                notes.append(
                    (start + piece.beats_per_bar - 1 + step / 4, 0.2, int(toms[step % len(toms)]), 0.7 + 0.08 * step)
                )
        if fills and bar % 4 == 0 and KICK in lines:
            notes.append((start, 0.5, CRASH, 0.6))
    return notes
