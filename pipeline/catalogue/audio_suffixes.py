"""Which files of a listing are audio, by their suffix: everything that PyAV opens and that can hold sound.

Left out are pictures, subtitles and video without sound, text, and samples without a header, which any file could be.
"""

import os

_AUDIO = """
aa aa3 aac aax ac3 ac4 acm adp ads adx aea afc aif aifc aiff aix alac amr ape apl aptx aptxhd ast au avr awb bcstm
bfstm binka bonk brstm bwf caf dfpwm dff dsf dss dtk dts dtshd eac3 ec3 fap flac fsb fwse g722 g723_1 g729 genh gsm
hca iamf ilbc ircam kvag laf latm lbc lc3 loas m2a m4a m4b m4r mac mca mka mlp mmf mp1 mp2 mp3 mpa mpc mpga msbc msf
mtaf musx nist nsp oga ogg oma omg opus osq paf pvf qcp qoa ra rf64 rka rsd rso sbc sdr2 sds sdx shn snd sox sph spx
ss2 svag svs tak thd tta vag voc vqe vqf vql w64 wa wav wave way weba wma wsd wv wve xa xvag xwma
"""
_VIDEO_WITH_SOUND = """
3g2 3gp asf avi divx dv f4a f4b f4v flv gxf ism isma ismv kux m2p m2t m2ts m4v mj2 mk3d mkv mods moflex mov mp4 mpeg mpg
mts mxf nsv nut ogv ogx psp qt rm rmvb ts usm viv vob webm wmv wtv xmv
"""
AUDIO_SUFFIXES = frozenset("." + name for name in (_AUDIO + _VIDEO_WITH_SOUND).split())
"""What counts as a track when a folder is listed; a catalogue file may name anything."""


def is_audio(name: str) -> bool:
    """Check whether a file counts as a track when it is listed."""
    return suffix_of(name) in AUDIO_SUFFIXES


def suffix_of(name: str) -> str:
    """Return a file's suffix in lower case, with its dot; empty where it has none."""
    return os.path.splitext(name)[1].lower()


def suffixes_message() -> str:
    """Say by which suffixes files are taken."""
    return "files are taken by suffix: " + " ".join(sorted(AUDIO_SUFFIXES))
