"""What GitHub, Binder and editors read: pinned actions, every supported Python, least rights; links that are dead."""

import http.server
import json
import os
import re
import threading
from pathlib import Path

import links
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_the_least(path):
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert used and all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", each) for each in used)
    work = yaml.safe_load(text)
    assert work["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job or "permissions" in job for job in work["jobs"].values())
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


def test_every_python_that_the_package_takes_is_tested():
    book = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    low, high = re.search(
        r"\(3, (\d+)\) <= sys.version_info\[:2\] <= \(3, (\d+)\)", makefile
    ).groups()
    wanted = [f"3.{minor}" for minor in range(int(low), int(high) + 1)]
    assert book["jobs"]["test"]["strategy"]["matrix"]["python"] == wanted


def test_binder_and_the_devcontainer_install_the_package():
    build = ROOT / "binder" / "postBuild"
    assert os.access(build, os.X_OK) and "--no-deps -e ." in build.read_text(encoding="utf-8")
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert "make install" in container["postCreateCommand"]


def test_dead_links_are_told_from_those_that_refuse_programs(tmp_path, capsys):
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path.strip("/")))
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    table = tmp_path / "sources.csv"
    rows = [f"k{code},{here}/{code}" for code in (200, 403, 404, 429, 410, 503)]
    table.write_text("key,url\n" + "\n".join([*rows, "none,"]) + "\n")
    assert links.main(table) == 1
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["k404", "k410"]
    server.shutdown()
