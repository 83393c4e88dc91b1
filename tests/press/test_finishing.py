"""Files that readers and machines look for in a site: each in the words of its kind."""

from xml.etree import ElementTree

from training_moat.press import finishing

SITE = "https://example.org/books?of=us&by=them"


def test_an_address_is_text_in_robots_and_escaped_in_pages(tmp_path, monkeypatch):
    monkeypatch.setenv(finishing.ADDRESS, SITE)
    (tmp_path / "_static").mkdir()
    finishing.finish(tmp_path, ["one", "two"], "Chips & <b>", "one")
    assert f"Sitemap: {SITE}/sitemap.xml\n" in (tmp_path / "robots.txt").read_text()
    places = ElementTree.parse(tmp_path / "sitemap.xml").getroot().findall(".//{*}loc")
    assert [place.text for place in places] == [f"{SITE}/one.html", f"{SITE}/two.html"]
    lost = (tmp_path / "404.html").read_text()
    assert "<b>" not in lost and "Chips &amp; &lt;b&gt; begins here" in lost


def test_a_site_of_no_known_address_has_no_list_of_addresses(tmp_path, monkeypatch):
    monkeypatch.delenv(finishing.ADDRESS, raising=False)
    (tmp_path / "_static").mkdir()
    finishing.finish(tmp_path, ["one"], "Chips", "one")
    assert (tmp_path / "robots.txt").read_text() == "User-agent: *\nAllow: /\n"
    assert not (tmp_path / "sitemap.xml").exists()
    assert 'href="./search.html"' in (tmp_path / "404.html").read_text()
