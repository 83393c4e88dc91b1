"""Some hundred generated bad inputs: one sentence each, nothing executed, nothing read or written elsewhere.

YAML of scenarios, sweeps and page lists, parameters of every chapter, names, paths and encodings. Each must be
refused as bad input; a YAML tag that would run code leaves no trace of having run.
"""

import json
from functools import cache
from pathlib import Path

import pytest

from training_moat import cli
from training_moat.catalog import descriptor, parameters
from training_moat.core.errors import InputError
from training_moat.press import (
    comparing,
    gallery,
    notebooks,
    output,
    page_sets,
    scenarios,
    sweep_spec,
)
from training_moat.press.folders import CHAPTERS, ROOT

HOSTILE = (
    "../../etc/passwd", "/etc/passwd", "..\\..\\x", "a/b", "\u202egnp.exe", "a\tb", "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0", "${HOME}", "$(touch TRACE)", "`touch TRACE`", "{{7*7}}", "%s%s%n", "';--", "\ud55c\uae00",
    "x" * 5000, "None", "__class__", "\u0000"[:0] + "nul\\0", "http://evil.example/x",
)  # fmt: skip
TAGS = (
    "!!python/object/apply:os.system ['touch TRACE']",
    "!!python/object/apply:subprocess.check_output [[touch, TRACE]]",
    "!!python/object/new:os.system ['touch TRACE']",
    "!!python/name:os.system ''",
    "!!python/module:os ''",
    "!!python/object:pathlib.Path {}",
    "!own {a: 1}",
    "!!binary '%%%'",
    "!!timestamp never",
)
BOMB = "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
    for a, b in zip("abcdef", "bcdefg", strict=True)
)
BROKEN = (
    "a: [", "{", "a: b: c", "- a", "'", "\t- x", "? [", "a: &a [*a]\nb: *c", "%YAML 9.9\n---\n- a", "42", "text",
    "a: 2026-99-99", "&a {*a: 1}", "[1, 2]", "a: !!int x", "{a: 1, {b: 2}}", "a: |\n x\n  y\n z: [", BOMB,
    "[" * 500, "a: " + "{b: " * 500,
)  # fmt: skip
ENCODED = {
    "latin-1": "title: caf\u00e9".encode("latin-1"),
    "UTF-16 without a mark": "title: x".encode("utf-16-le"),
    "UTF-32": "title: x".encode("utf-32"),
    "Shift JIS": "title: \u65e5\u672c".encode("shift_jis"),
    "half of a character": "title: \u20ac".encode()[:-1],
    "a compressed file": bytes.fromhex("1f8b080000000000"),
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x00",
    "control characters": b"title: \x01\x02",
    "a zero byte": b"title: a\x00b",
    "lone surrogate": b"title: \xed\xa0\x80",
}
WRONG_VALUES = ("[[1]]", "{a: 1}", ".nan", "-.inf", "''", "1e999", "[{}]")


def yaml_files():
    """Texts (or bytes) that no reader of YAML here may take, as (what reads them, text)."""
    for reader in ("scenario", "sweep", "pages"):
        yield from ((reader, text) for text in BROKEN)
        yield from ((reader, content) for content in ENCODED.values())
        yield from ((reader, f"title: {tag}\nlevel: {tag}") for tag in TAGS)
    for name in HOSTILE:
        quoted = json.dumps(name)
        yield "scenario", f"{quoted}: 1"
        yield "scenario", f"chips: {{a: {{base: {quoted}}}}}"
        yield "scenario", f"parameters: {{{quoted}: {{chip: sn40l}}}}"
        yield "scenario", f"parameters: {{memory: {{{quoted}: 1}}}}"
        yield "sweep", f"level: {quoted}"
        yield "sweep", f"level: training\ngrid: {{{quoted}: [1]}}"
        yield "pages", f"challenger: {{{quoted}: {{chip: sn40l}}}}" if not _slug(name) else "a: 1"
    numeric = [field["name"] for field in descriptor.fields("chips") if field["type"] == "number"]
    for column in numeric:
        wrong = "much" if len(column) % 2 else "-1"
        yield "scenario", f"chips: {{a: {{base: sn40l, {column}: {wrong}}}}}"


def _slug(name):
    return page_sets._SLUG.fullmatch(name) is not None


def values():
    """A wrong value for every parameter of every chapter."""
    for chapter in notebooks.chapter_names():
        for number, (name, parameter) in enumerate(parameters.schema(chapter).items()):
            if parameter.type in ("text", "texts", "boolean"):
                continue
            wrong = WRONG_VALUES[number % len(WRONG_VALUES)]
            yield "scenario", f"parameters: {{{chapter}: {{{name}: {wrong}}}}}"


@cache
def cases():
    return [*yaml_files(), *values()]


def refused(kind, path):
    """Read a file as what it pretends to be."""
    if kind == "scenario":
        return scenarios.request(notebooks.chapter_names(), (), str(path))
    if kind == "sweep":
        return sweep_spec.load(path)
    return page_sets.further_pages()


def sentence(caught):
    """The error is one sentence that a terminal can show."""
    said = str(caught.value)
    assert said and "\n" not in said and len(said) <= 300, said
    assert all(letter.isprintable() for letter in said), said


def test_there_are_enough_of_them():
    assert len(cases()) >= 200


@pytest.mark.slow
def test_each_is_refused_in_one_sentence_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOAT_ROOT", str(ROOT))
    path = tmp_path / "pages.yml"
    monkeypatch.setattr(page_sets, "FILE", path)
    taken = []
    for kind, text in cases():
        path.unlink(missing_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        try:
            refused(kind, path)
            taken.append((kind, text[:80]))
        except InputError as error:
            sentence(pytest.raises(InputError, _again, error))
    assert taken == []
    assert [each.name for each in tmp_path.iterdir()] == ["pages.yml"]


def _again(error):
    raise error


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_a_hostile_name_leads_nowhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOAT_ROOT", str(ROOT))
    for look in (
        comparing.scenario_path,
        gallery.path_of,
        notebooks.chapter_file,
        parameters.schema,
    ):
        with pytest.raises(InputError) as caught:
            look(name)
        sentence(caught)
    with pytest.raises(InputError) as caught:
        scenarios.request(["memory"], [f"{name}=1"], None)
    sentence(caught)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "place", [".", "/", "..", str(ROOT), str(CHAPTERS), str(Path.home()), "data"]
)
def test_no_site_replaces_a_folder_that_is_not_one(place, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError) as caught:
        output.site_folder(place)
    sentence(caught)


@pytest.mark.parametrize("title", [name for name in HOSTILE if "<" in name or "'" in name])
def test_a_title_is_text_on_its_page(title, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "FOLDER", tmp_path)
    written = {"title": title, "description": title, "parameters": {"memory": {"chip": "sn40l"}}}
    (tmp_path / "mine.yaml").write_text(json.dumps(written), encoding="utf-8")
    for page in (gallery.title_and_body("mine")[1], gallery.index()):
        assert "<script" not in page and "alert(1)</" not in page


@pytest.mark.parametrize("verb", ["chips", "models"])
def test_what_a_terminal_of_another_encoding_sends_is_looked_for(verb, capsys):
    assert cli.main([verb, "\udcff\udcfe"]) == 2
    assert capsys.readouterr().err.startswith("moat: nothing in the table contains '??'")
