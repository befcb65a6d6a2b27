"use strict";
// The examples view: list, running text, card; with other runs, the same example under each.
const Examples = (() => {
  const { el } = Base;

  function build(model) {
    const { data } = model, state = { e: -1, token: null, colour: null, views: [] };
    const list = List.build(model, (e) => open(e));
    const title = el("h2", { id: "example-title", tabindex: "-1" }), subtitle = el("p", { class: "quiet", id: "example-share" });
    const texts = el("div", { class: "texts" }), legend = el("div", { class: "legend" });
    const card = el("aside", { class: "card", id: "card", "aria-label": "Token", "aria-live": "polite" });
    const colour = el("select", { id: "colour" }, el("option", { value: "" }, "verdict"),
      Kinds.of(data).map(({ bit }) => el("option", { value: `kind ${bit}` }, `kind of mistake (${Base.spoken(data.names[bit])})`)),
      data.names.map((name, bit) => el("option", { value: `percentile ${bit}` }, Base.spoken(name))));
    const spaces = el("input", { type: "checkbox", id: "spaces" }), raw = el("input", { type: "checkbox", id: "raw" });
    const close = el("button", { type: "button", class: "close", "aria-label": "Close the card", onclick: () => select(null) }, "×");
    function chooseColour() {
      const [by, bit] = colour.value.split(" ");
      state.colour = by === "" ? null : { by, bit: Number(bit) };
      repaint();
    }
    colour.addEventListener("change", chooseColour);
    spaces.addEventListener("change", () => texts.classList.toggle("show-spaces", spaces.checked));
    raw.addEventListener("change", () => texts.classList.toggle("show-raw", raw.checked));

    /** Open example `e`; the page's address follows, so that a link leads back. */
    function open(e, token = null, quietly = false) {
      if (e < 0 || e >= data.count) return;
      state.e = e;
      list.mark(e);
      Base.replace(title, el("bdi", {}, Tokens.clipped(data.title(e), 120)));
      Base.replace(texts);
      state.views = model.datas.map((other, i) => view(other, i)).filter(Boolean);
      describe();
      drawLegend();
      select(token, quietly);
    }

    /** The example under run `i`; tokens whose verdict is not the same everywhere are marked. */
    function view(other, i) {
      const id = data.run.ids[state.e], e = other.places.get(id), name = other.run.figures.run;
      const several = model.datas.length > 1, column = several ? el("section", { class: "column" }, el("h3", { class: "run-name" }, name)) : texts;
      if (several) texts.append(column);
      if (e === undefined) { column.append(el("p", { class: "quiet" }, "This run does not have the example.")); return null; }
      const labels = i === 0 ? model.labels : { lacking: other.lacking, noise: other.noise };
      const found = Tokens.build(other, e, labels, {
        colour: i === 0 ? state.colour : null, prefix: i === 0 ? "" : `run${i}-`, label: `Tokens of ${other.title(e)}${several ? ` under ${name}` : ""}`,
        differs: several ? differs(other, e) : null,
      });
      if (several) column.append(el("p", { class: "quiet" }, Base.plural(found.nodes.filter((node) => node.classList.contains("differs")).length, "token"), " with another verdict elsewhere"));
      column.append(found.box);
      listen(found, i);
      return found;
    }

    function differs(mine, e) {
      const here = Differences.of(model, mine.run.ids[e]);
      return (t) => here(t - mine.starts[e]);
    }

    function listen(found, i) {
      const { box } = found;
      box.addEventListener("click", (event) => {
        const node = event.target.closest(".token");
        if (node && i === 0) select(Number(node.dataset.token));
      });
      if (i > 0) return;
      let hover = null;
      box.addEventListener("mouseover", (event) => {
        const node = event.target.closest(".token");
        if (!node || state.pinned) return;
        clearTimeout(hover);
        hover = setTimeout(() => { if (!state.pinned) show(Number(node.dataset.token)); }, 120);
      });
      box.addEventListener("mouseleave", () => { clearTimeout(hover); if (!state.pinned) show(state.token); });
      box.addEventListener("focus", () => { if (state.token === null) select(firstResponse()); });
      box.addEventListener("keydown", (event) => {
        const size = found.nodes.length, at = state.token ?? firstResponse();
        const next = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: below(found, at, 1), ArrowUp: below(found, at, -1), Home: 0, End: size - 1 }[event.key];
        if (event.key === "Escape") { select(null); return; }
        if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        select(inSight(found, Math.min(Math.max(next, 0), size - 1), next < at ? -1 : 1) ?? at);
      });
    }

    /** The next place from `at` on whose token is shown: the template's own are not, unless asked for. */
    function inSight({ nodes }, at, direction) {
      for (let i = at; i >= 0 && i < nodes.length; i += direction) if (nodes[i].getClientRects().length) return i;
      return null;
    }

    const firstResponse = () => {
      for (let t = data.starts[state.e]; t < data.starts[state.e + 1]; t += 1) if (data.response[t]) return t - data.starts[state.e];
      return 0;
    };

    /** The token nearest to the one above or below in the layout. */
    function below(found, at, direction) {
      const from = found.nodes[at].getClientRects()[0];
      if (!from) return at;
      let best = at, near = Infinity, line = null;
      for (let i = at + direction; i >= 0 && i < found.nodes.length; i += direction) {
        const to = found.nodes[i].getClientRects()[0];
        if (!to || (to.top - from.top) * direction < 4) continue;
        line ??= to.top;
        if (Math.abs(to.top - line) > 4) break;
        if (Math.abs(to.left - from.left) < near) { near = Math.abs(to.left - from.left); best = i; }
      }
      return best;
    }

    function select(token, quietly = false) {
      const valid = Number.isInteger(token) && token >= 0 && token < data.starts[state.e + 1] - data.starts[state.e];
      state.token = valid ? token : null;
      state.pinned = valid;
      show(state.token);
      const box = state.views[0]?.box, node = state.views[0]?.nodes[state.token];
      if (box && node) {
        box.setAttribute("aria-activedescendant", node.id);
        const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
        node.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
      } else box?.removeAttribute("aria-activedescendant");
      if (!quietly) Base.emit("place", { example: data.run.ids[state.e], token: state.token });
    }

    function show(token) {
      for (const { nodes } of state.views) for (const node of nodes) {
        const here = Number(node.dataset.token) === token;
        node.classList.toggle("current", here);
        if (node.getAttribute("aria-selected") !== String(here)) node.setAttribute("aria-selected", String(here));
      }
      card.classList.toggle("open", token !== null);
      if (token === null) Base.replace(card, el("p", { class: "quiet hint" }, "Point at a token, or focus the text and use the arrow keys."));
      else Base.replace(card, close, Card.build(model, state.e, token));
    }

    function describe() {
      const from = data.responseStarts[state.e], size = data.responseStarts[state.e + 1] - from;
      let masked = 0;
      for (let r = from; r < from + size; r += 1) masked += model.labels.noise[r];
      const why = data.run.why[state.e];
      subtitle.textContent = `${Base.percent(masked / Math.max(size, 1))} masked: ${masked} of ${Base.plural(size, "response token")}${["all", "chosen"].includes(why) ? "" : ` · in this sample: ${why}`}`;
    }

    function repaint() {
      if (state.e < 0 || !state.views.length) return;
      Tokens.paint(state.views[0], model.labels, state.colour);
      describe();
      drawLegend();
      if (state.token !== null) show(state.token);
    }

    /** The kinds that this example's tokens look like, with their colours and counts. */
    function kindsHere(bit) {
      const counts = new Map();
      for (let r = data.responseStarts[state.e]; r < data.responseStarts[state.e + 1]; r += 1) {
        const kind = data.columns[`kind${bit}`][r];
        if (Kinds.shown(data, model.labels, bit, r)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
      }
      return [...counts].sort((a, b) => b[1] - a[1]).map(([kind, tokens]) => {
        const node = el("span", { class: "step" });
        node.style.backgroundColor = Kinds.colour(data, bit, kind).formatRgb();
        return el("span", { class: "kind" }, node, ` ${data.run.kinds[bit][kind]} ${tokens}`);
      });
    }

    /** Whether a character of the open example is spelt by several tokens. */
    function hasSplit() {
      for (let t = data.starts[state.e]; t < data.starts[state.e + 1]; t += 1) if (data.split(data.tokens[t])) return true;
      return false;
    }

    /** Whether a token of the open example is masked that lacks no attribute. */
    function hasOther() {
      const { noise, lacking } = model.labels;
      return d3.range(data.responseStarts[state.e], data.responseStarts[state.e + 1]).some((r) => noise[r] && !lacking[r]);
    }

    function drawLegend() {
      if (state.colour?.by === "kind") {
        const found = state.e < 0 ? [] : kindsHere(state.colour.bit);
        Base.replace(legend, found.length ? ["looks like: ", found] : "no token here looks like a mistake");
        return;
      }
      if (state.colour !== null) {
        const steps = Array.from({ length: 11 }, (_, i) => {
          const node = el("span", { class: "step" });
          node.style.backgroundColor = d3.interpolateCividis(i / 10);
          return node;
        });
        Base.replace(legend, `corpus percentile of ${Base.spoken(data.names[state.colour.bit])}: 0 `, el("span", { class: "steps" }, steps), " 100 · struck through: masked");
        return;
      }
      const words = data.run.figures.words;
      Base.replace(legend, el("span", { class: "segment prompt" }, words.prompt), " · ", el("span", {}, words.kept), " · ",
        el("span", { class: "token protected" }, words.protected), ` · ${words.masked} `,
        data.names.map((name, bit) => [bit ? ", " : "", el("span", { class: `token noise line-${bit % 5}` }, Base.spoken(name))]),
        state.e >= 0 && hasOther() ? [" · ", el("span", { class: "token noise line-other" }, words.otherwise)] : null,
        state.e >= 0 && hasSplit() ? [" · ", words.further] : null,
        model.datas.length > 1 ? [" · ", el("span", { class: "token differs" }, words.differs)] : null);
    }

    Base.on("kind", ({ bit }) => { colour.value = `kind ${bit}`; chooseColour(); });
    Base.on("labels", () => { if (model.datas.length > 1 && state.e >= 0) open(state.e, state.token, true); else repaint(); });
    drawLegend();
    const step = (by, text, name) => el("button", { type: "button", "aria-label": name, onclick: () => list.step(by) }, text);
    if (model.datas.length > 1) texts.classList.add("side-by-side");
    const reader = el("div", { class: "reader" },
      el("div", { class: "reader-head" }, el("div", {}, title, subtitle), el("div", { class: "steps-buttons" }, step(-1, "↑", "Previous example"), step(1, "↓", "Next example"))),
      el("div", { class: "tools" }, el("label", { class: "filter" }, el("span", {}, "colour by"), colour), el("label", { class: "choice" }, spaces, "show spaces"), el("label", { class: "choice" }, raw, "raw template")),
      legend, texts);
    const node = el("div", { class: model.datas.length > 1 ? "examples compared" : "examples" }, list.node, reader, card);
    return { node, open, list, state };
  }

  return { build };
})();
