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

  // A phone has no room for long category names, wide legends or charts side by side.
  function fitted(config, width) {
    const narrow = width < 520;
    const copy = JSON.parse(JSON.stringify(config));
    if (narrow) {
      copy.axis.labelLimit = Math.round(width * 0.38);
      copy.axis.labelFontSize = 11;
      copy.axis.titleLimit = width - 20;
      copy.legend.columns = 2;
      copy.legend.labelLimit = Math.round(width * 0.4);
    }
    return copy;
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
    const spec = unfolded(JSON.parse(source.textContent), width);
    const now = mode();
    vegaEmbed(holder, spec, {
      mode: "vega-lite", actions: false, renderer: "svg", config: fitted(themes[now], width), tooltip: { theme: now },
    }).then(function () { holder.dataset.drawn = now; })
      .catch(function (error) { console.error("figure " + holder.id + ": " + error); });
  }

  function drawAll() { document.querySelectorAll(".moat-chart").forEach(draw); }

  function start() {
    if (typeof vegaEmbed === "undefined") return;
    root.classList.add("moat-live");
    drawAll();
    new MutationObserver(drawAll).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    let waiting;
    addEventListener("resize", function () {
      clearTimeout(waiting);
      waiting = setTimeout(function () {
        document.querySelectorAll(".moat-chart").forEach(function (holder) {
          if (String(holder.clientWidth) !== holder.dataset.width) draw(holder);
        });
      }, 150);
    });
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
