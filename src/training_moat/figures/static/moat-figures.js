// Draws every figure of a page from its inert JSON, in the page's light or dark theme and to its width.
(function () {
  "use strict";
  const themes = /*THEMES*/ {};
  const root = document.documentElement;

  function mode() {
    const chosen = root.dataset.theme || root.dataset.mode || "auto";
    if (chosen === "dark" || chosen === "light") return chosen;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  function encodings(spec) {
    return [spec].concat(spec.layer || []).map(function (view) { return view.encoding || {}; });
  }

  function longest(words) {
    return words.reduce(function (most, word) { return Math.max(most, String(word).length); }, 0);
  }

  // As many legend columns as fit; shorter texts on a phone.
  function fitted(config, spec, width) {
    const copy = JSON.parse(JSON.stringify(config));
    const names = encodings(spec).map(function (e) { return longest((e.color && e.color.scale && e.color.scale.domain) || []); });
    const labels = encodings(spec).map(function (e) { return longest((e.y && e.y.type === "nominal" && e.y.sort) || []); });
    const room = width - Math.min(width < 520 ? width * 0.4 : 230, Math.max(0, ...labels) * 6.5);
    copy.legend.columns = Math.max(1, Math.min(5, Math.floor(room / (Math.max(4, ...names) * 7 + 34))));
    copy.axis.titleLimit = width - 20;
    if (width < 520) {
      copy.axis.labelLimit = Math.round(width * 0.4);
      copy.axis.labelFontSize = copy.text.fontSize = copy.axis.titleFontSize = 11;
    }
    return copy;
  }

  // Long category names are broken into lines instead of being cut, in rows as tall as the most lines.
  function wrapped(spec, width) {
    const copy = JSON.parse(JSON.stringify(spec));
    const most = width < 520 ? Math.max(10, Math.floor(width * 0.4 / 6.2)) : 32;
    const piece = "(.{" + Math.floor(most * 0.55) + "," + most + "}?) ";
    encodings(copy).forEach(function (encoding) {
      const y = encoding.y;
      if (!y || y.type !== "nominal" || !y.sort || longest(y.sort) <= most * 0.8) return;
      const lines = Math.max(...y.sort.map(function (name) { return String(name).replace(new RegExp(piece, "g"), "$1\n").split("\n").length; }));
      y.axis = Object.assign({}, y.axis, { labelExpr: "split(replace(datum.label, regexp('" + piece + "', 'g'), '$1\\n'), '\\n')" });
      if (typeof copy.height === "number") copy.height = Math.max(copy.height, y.sort.length * (15 * lines + 4));
    });
    [copy].concat(copy.layer || []).forEach(function (view) {
      const encoding = view.encoding || {};
      if (encoding.x && tilted(encoding.x, encoding.y, width)) small(view);
    });
    return copy;
  }

  // Heads of columns too narrow for them stand on end: whether the columns are too narrow for per cent, too.
  function tilted(x, y, width) {
    if (x.type !== "nominal" || !x.sort || !x.axis || x.axis.orient !== "top" || x.axis.labelAngle !== 0) return false;
    const beside = Math.min(width * 0.4, longest((y && y.sort) || []) * 6.5);
    const words = x.axis.labelExpr ? x.sort.join(" ").split(" ") : x.sort;
    const cell = (width - beside) / x.sort.length;
    if (longest(words) * 6.5 <= cell) return false;
    x.axis = Object.assign({}, x.axis, { labelAngle: -90 });
    delete x.axis.labelExpr;
    delete x.axis.labelPadding;
    return cell < 36;
  }

  // Per cent in narrow cells stand in small print without their sign, which the legend shows.
  function small(view) {
    const text = (view.encoding || {}).text;
    if (!text || !text.field || text.format) return;
    const value = "datum[" + JSON.stringify(text.field.replace(/\\/g, "")) + "]";
    view.mark = Object.assign({}, view.mark, { fontSize: 9, text: { expr: "replace(" + value + ", '%', '')" } });
    delete view.encoding.text;
  }

  function unfolded(spec, width) {
    if (!spec.facet && !spec.hconcat && !spec.concat) return spec;
    const copy = JSON.parse(JSON.stringify(spec));
    const columns = width < 520 ? 1 : copy.columns || (copy.hconcat || []).length || 2;
    const inner = Math.max(120, Math.floor(width / columns) - 90);
    if (copy.hconcat) { copy.concat = copy.hconcat; delete copy.hconcat; }
    copy.columns = columns;
    if (copy.spec) copy.spec.width = inner;
    (copy.concat || []).forEach(function (view) { view.width = inner; });
    return copy;
  }

  function draw(holder) {
    const source = document.querySelector('script[data-chart="' + holder.id + '"]');
    const width = holder.clientWidth;
    if (!source || !width) return;
    holder.dataset.width = width;
    const spec = wrapped(unfolded(JSON.parse(source.textContent), width), width);
    // The renderer writes a label of its own over the finding; who hears the page is to be told the finding.
    const finding = holder.dataset.finding = holder.dataset.finding || holder.getAttribute("aria-label");
    const now = mode();
    vegaEmbed(holder, spec, {
      mode: "vega-lite", actions: false, renderer: "svg", config: fitted(themes[now], spec, width), tooltip: { theme: now },
    }).then(function (made) {
      holder.setAttribute("role", "img");
      holder.setAttribute("aria-label", finding);
      lead(holder, made.view);
      holder.dataset.drawn = now;
      offer(holder);
    })
      .catch(function (error) { console.error("figure " + holder.id + ": " + error); });
  }

  // The address of the source that a mark's row names, as the list under the figure has it.
  function sourceOf(holder, item) {
    const key = item && item.datum && String(item.datum.source || "").split(";")[0];
    const end = "#source-" + encodeURIComponent(key);
    const known = key ? Array.from(holder.closest("figure").querySelectorAll(".moat-source")) : [];
    const found = known.find(function (link) { return link.getAttribute("href").endsWith(end); });
    const outside = found && found.nextElementSibling;
    return found && (outside && outside.classList.contains("moat-outside") ? outside : found).href;
  }

  // One click from a number to its source: a mark opens the address of its row.
  function lead(holder, view) {
    view.addEventListener("mousemove", function (event, item) {
      holder.style.cursor = sourceOf(holder, item) ? "pointer" : "";
    });
    view.addEventListener("click", function (event, item) {
      const address = sourceOf(holder, item);
      if (address) window.open(address, "_blank", "noopener");
    });
  }

  function name(holder) {
    const page = decodeURIComponent(location.pathname).split("/").pop().replace(/\.html$/, "") || "moat";
    return page + "-" + holder.closest("figure").id;
  }

  // The figure for a slide or a paper: in light colours on white, three pixels to one, with its title and where it is from.
  function save(holder, form) {
    const source = document.querySelector('script[data-chart="' + holder.id + '"]');
    const width = 800;
    const spec = wrapped(unfolded(JSON.parse(source.textContent), width), width);
    const title = holder.closest("figure").querySelector(".moat-title");
    if (spec.width === "container") spec.width = width - 170;
    if (title) spec.title = { text: title.textContent, subtitle: "The Training Moat, CC BY 4.0" };
    const config = Object.assign({}, fitted(themes.light, spec, width), { background: "#ffffff" });
    vegaEmbed(document.createElement("div"), spec, { mode: "vega-lite", actions: false, renderer: "svg", config: config })
      .then(function (made) { return made.view.toImageURL(form, 3); })
      .then(function (address) {
        const link = document.createElement("a");
        link.href = address;
        link.download = name(holder) + "." + form;
        link.click();
      });
  }

  function offer(holder) {
    const data = holder.closest("figure") && holder.closest("figure").querySelector(".moat-download");
    if (!data || data.parentNode.querySelector(".moat-save")) return;
    ["svg", "png"].forEach(function (form) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "moat-save";
      button.textContent = form.toUpperCase();
      button.setAttribute("aria-label", form.toUpperCase() + " of " + holder.closest("figure").id.replace("-", " "));
      button.addEventListener("click", function () { save(holder, form); });
      data.after(button);
    });
  }

  function drawAll() { document.querySelectorAll(".moat-chart").forEach(draw); }

  function start() {
    if (typeof vegaEmbed === "undefined") return;
    root.classList.add("moat-live");
    // The theme's buttons beside code have a picture and no name.
    addEventListener("load", function () {
      document.querySelectorAll("button.copybtn").forEach(function (button) { button.setAttribute("aria-label", "Copy the code"); });
    });
    drawAll();
    new MutationObserver(drawAll).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    // A page's width changes with its side bar too, of which the window tells nothing.
    let waiting;
    const widths = new ResizeObserver(function () {
      clearTimeout(waiting);
      waiting = setTimeout(function () {
        document.querySelectorAll(".moat-chart").forEach(function (holder) {
          if (String(holder.clientWidth) !== holder.dataset.width) draw(holder);
        });
      }, 150);
    });
    document.querySelectorAll(".moat-chart").forEach(function (holder) { widths.observe(holder); });
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
