// The search page finds places, not pages: headings and the words below them, code and lists of sources left out.
// Opened as a file, where browsers load no index, the theme's own search answers.
(function () {
  "use strict";
  const base = new URL(document.documentElement.dataset.content_root || "./", document.baseURI);

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function link(place, title) {
    const made = element("a", title);
    made.href = place;
    return made;
  }

  // An excerpt is text with its hits between <mark> and </mark>; nothing else in it is taken for HTML.
  function context(excerpt) {
    const made = element("p", "", "context");
    const plain = new DOMParser().parseFromString(excerpt, "text/html").body;
    plain.childNodes.forEach(function (node) {
      made.append(node.nodeName === "MARK" ? element("mark", node.textContent) : node.textContent);
    });
    return made;
  }

  function entry(page) {
    const item = element("li");
    const title = (page.meta.title || page.url).replace(/#$/, "");
    item.append(link(page.url, title), context(page.excerpt));
    const places = page.sub_results.filter(function (one) { return one.anchor && one.title !== page.meta.title; });
    const list = element("ul");
    places.slice(0, 3).forEach(function (place) {
      const below = element("li");
      below.append(link(place.url, place.title.replace(/#$/, "")), context(place.excerpt));
      list.append(below);
    });
    if (places.length) item.append(list);
    return item;
  }

  async function show(query) {
    const pagefind = await import(new URL("pagefind/pagefind.js", base));
    const found = (await pagefind.search(query)).results.slice(0, 20);
    const pages = await Promise.all(found.map(function (one) { return one.data(); }));
    const out = document.getElementById("search-results");
    const words = found.length ? "Pages found: " + found.length + (found.length === 20 ? ", the best ones" : "")
      : "Nothing found. Fewer or shorter words find more.";
    const list = element("ul", "", "search");
    list.setAttribute("role", "list");
    list.append(...pages.map(entry));
    out.replaceChildren(element("h2", "Search results"), element("p", words, "search-summary"), list);
  }

  document.addEventListener("DOMContentLoaded", function () {
    if (typeof Search === "undefined" || !location.protocol.startsWith("http")) return;
    const plain = Search.performSearch;
    Search.performSearch = function (query) {
      show(query).catch(function () { plain.call(Search, query); });
    };
  });
})();
