"""Names made of tags, scripts and formulas, and what a page that shows them must not do."""

from browsing import Visit

NAMES = {
    "tag": "<img src=x onerror=window.hit=1>",
    "script": "</script><script>window.hit=2</script>",
    "hidden": "<!--<script>window.hit=3",
    "quote": "\"'><svg onload=window.hit=4>",
    "escaped": "\\<img src=x onerror=window.hit=5> \\\\<img src=x onerror=window.hit=6>",
    "picture": "![x](http://evil.example/x.png)",
    "link": "[x](javascript:window.hit=7)",
    "formula": '=HYPERLINK("http://evil.example")',
    "at": "@SUM(1)",
}
CHIPS = {key: {"base": "h100-sxm", "name": name, "vendor": name} for key, name in NAMES.items()}
TITLE = NAMES["script"] + NAMES["tag"]
DESCRIPTION = NAMES["quote"]
# What a page must not hold, whoever wrote it: something with a handler, a picture of another host.
ELEMENTS = """() => ({
    hit: window.hit || null,
    handlers: [...document.querySelectorAll('*')].filter(e => e.hasAttribute('onerror') || e.hasAttribute('onload')).length,
    pictures: [...document.querySelectorAll('img')].filter(e => /evil|^x$/.test(e.getAttribute('src') || '')).length,
    scripts: [...document.querySelectorAll('script')].filter(e => e.textContent.startsWith('window.hit')).length,
    words: document.body.innerText,
})"""


def check(browser, address, name):
    with Visit(browser, address, name, 1280) as visit:
        assert visit.charts("light") or "bars" not in name
        found = visit.tab.evaluate(ELEMENTS)
        assert visit.troubles == []
    words = found.pop("words")
    assert found == {"hit": None, "handlers": 0, "pictures": 0, "scripts": 0}
    return words
