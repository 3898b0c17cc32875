"""Genres and how a caption names them.

A counted phrase takes an article ("a polka"), an uncounted one does not ("dance music"). Both are whole noun phrases.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Genre:
    """How a caption names a genre."""

    counted: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()


def _genre(counted: str, uncounted: str = "") -> Genre:
    return Genre(
        counted=tuple(phrase.strip() for phrase in counted.split(",") if phrase.strip()),
        uncounted=tuple(phrase.strip() for phrase in uncounted.split(",") if phrase.strip()),
    )


GENRES: dict[str, Genre] = {
    # electronic
    "techno": _genre("techno track, techno track, techno tune", "techno"),
    "house": _genre("house track, house tune", "house music"),
    "electro": _genre("electro track, electro groove", "electro"),
    "electronica": _genre(
        "electronica track, electronica piece, electronic track, electronic piece, electronica tune",
        "electronica, electronic music",
    ),
    "synthwave": _genre("synthwave track, retro synthwave tune", "synthwave"),
    "drum and bass": _genre("breakbeat track", "breakbeat music"),
    "hip hop": _genre("hip hop track, hip hop beat", "hip hop"),
    "dance": _genre("dance track, dance tune, club track", "dance music, club music"),
    "dance pop": _genre("dance pop track, dance pop tune", "dance pop"),
    "chiptune": _genre("chiptune, chiptune track, 8-bit tune, video game theme", "video game music, 8-bit music"),
    "downtempo": _genre(
        "chillout track, lounge track, downtempo track, chillout groove", "downtempo music, lounge music"
    ),
    "ambient": _genre("ambient piece, ambient soundscape, soundscape, ambient track", "ambient music"),
    "dark ambient": _genre("soundscape, ambient piece, drone piece, underscore", "ambient music"),
    "hybrid": _genre("cinematic electronica track, hybrid trailer cue, hybrid soundtrack cue", "cinematic electronica"),
    # bands
    "rock": _genre("rock track, rock song, rock tune", "rock, rock music"),
    "rock and roll": _genre("rock and roll number, rock and roll tune", "rock and roll"),
    "grunge": _genre("grunge track, grunge rock song", "grunge rock"),
    "punk": _genre("punk rock track, punk rock song", "punk rock"),
    "metal": _genre("metal track, metal song, heavy metal track", "heavy metal, metal"),
    "disco": _genre("disco track, disco tune", "disco"),
    "funk": _genre("funk track, funk groove, funk tune", "funk"),
    "ska": _genre("ska tune, ska track", "ska"),
    "reggae": _genre("reggae tune, reggae track, reggae groove", "reggae"),
    "bossa nova": _genre("bossa nova, bossa nova tune, lounge tune", "bossa nova"),
    "latin": _genre("latin tune, latin groove, latin dance, salsa tune", "latin music, salsa"),
    "jazz": _genre("jazz tune, jazz piece, jazz number, lounge jazz tune", "jazz"),
    "swing": _genre("swing tune, swing number", "swing jazz"),
    "blues": _genre("blues, blues tune, blues number, blues shuffle", "blues"),
    "country": _genre("country tune, country song, country number", "country, country music"),
    "bluegrass": _genre("bluegrass tune, bluegrass number", "bluegrass"),
    "folk": _genre("folk tune, folk song, folk piece, acoustic piece", "folk, folk music"),
    "irish folk": _genre("irish folk tune, celtic tune", "celtic music, irish folk"),
    "acoustic": _genre("acoustic tune, acoustic piece, acoustic track", "acoustic music"),
    "world": _genre("world music track, world music piece, world groove", "world music"),
    "turkish": _genre("turkish tune, turkish piece", "turkish music"),
    "medieval": _genre("medieval tune, medieval dance, medieval piece", "medieval music"),
    "pop": _genre("pop tune, pop track, pop song", "pop, pop music"),
    "corporate": _genre("corporate pop track, motivational track", "corporate pop"),
    "alternative": _genre("alternative rock track, indie rock song", "alternative rock"),
    "psychedelic": _genre("psychedelic track, psychedelic piece", "psychedelic music"),
    # stage and comedy
    "silent film": _genre("silent film score, silent film piece, silent film cue", "silent film music"),
    "ragtime": _genre("ragtime piece, rag, vaudeville number, ragtime tune", "ragtime"),
    "comedy": _genre("comedy cue, cartoon theme, comedy theme, cartoon cue", "cartoon music, comedy music"),
    "polka": _genre("polka", "polka music"),
    "march": _genre("march", "marching music"),
    "waltz": _genre("waltz"),
    "stings": _genre("short cue, musical sting"),
    # orchestral and screen
    "orchestral": _genre("orchestral piece, orchestral cue, orchestral theme, orchestral score", "orchestral music"),
    "trailer": _genre("orchestral trailer cue, battle theme, trailer cue, orchestral battle cue", "trailer music"),
    "suspense": _genre("orchestral underscore, thriller cue, film cue, thriller score", "film music"),
    "soundtrack": _genre(
        "soundtrack cue, film cue, cinematic cue, film score, soundtrack piece, cinematic theme",
        "film music, soundtrack music",
    ),
    "horror": _genre("horror cue, horror score, horror theme, horror underscore", "horror music"),
    "fantasy": _genre("fantasy theme, fantasy cue, fantasy score, fantasy piece", "fantasy music"),
    "chamber": _genre("chamber piece, chamber music piece", "chamber music"),
    "classical": _genre("classical piece, classical work", "classical music"),
    "contemporary": _genre("contemporary piece, contemporary tune", "contemporary music"),
    "minimalism": _genre("minimalist piece, minimalist cue", "minimalist music"),
    "choral": _genre("choral piece, sacred piece, choral work", "choral music, sacred music"),
    "opera": _genre("opera aria, opera piece", "opera"),
    "lullaby": _genre("lullaby"),
    "holiday": _genre("holiday tune, christmas tune", "holiday music"),
    "video game": _genre("video game theme, video game cue", "video game music"),
}
"""Genres by name."""

UNNAMED = _genre("piece, track, tune", "music")
"""Nouns for tracks whose genre is unknown or not named."""
