"use strict";
// The list of examples: search, measure, filter and sort; only the rows in sight exist as elements.
const List = (() => {
  const { el } = Base;
  const ROW = 46;

  /** Share of each example's response (or a third of it) that is masked, lacks an attribute, or looks like a kind. */
  function measure(model, e, what, where) {
    const { data } = model, from = data.responseStarts[e], size = data.responseStarts[e + 1] - from;
    const third = { all: [0, 1], start: [0, 1 / 3], middle: [1 / 3, 2 / 3], end: [2 / 3, 1] }[where];
    const first = Math.floor(size * third[0]), last = Math.floor(size * third[1]);
    let found = 0;
    for (let r = from + first; r < from + last; r += 1) found += what(r) ? 1 : 0;
    return found / Math.max(last - first, 1);
  }

  /** The measure that an option's value names: `masked`, `lacking BIT`, or `kind BIT KIND`. */
  function counted({ data, labels }, value) {
    const [what, bit, kind] = value.split(" ").map((part, i) => (i ? Number(part) : part));
    if (what === "masked") return (r) => labels.noise[r];
    return what === "kind" ? (r) => Kinds.is(data, labels, bit, kind, r) : (r) => (labels.lacking[r] >> bit) & 1;
  }

  function searchText(data, e) {
    data.searchable ??= new Map();
    if (!data.searchable.has(e)) {
      let text = data.run.ids[e];
      for (let t = data.starts[e]; t < data.starts[e + 1]; t += 1) text += t === data.starts[e] ? `\n${data.text(data.tokens[t])}` : data.text(data.tokens[t]);
      data.searchable.set(e, text.toLowerCase());
    }
    return data.searchable.get(e);
  }

  function opening(data, e) {
    let text = "";
    for (let t = data.starts[e]; t < data.starts[e + 1] && text.length < 90; t += 1)
      if (data.response[t]) text += data.plain(data.tokens[t]).slice(0, 90);
    return text.replaceAll("\n", " ");
  }

  function select(id, label, options) {
    return el("label", { class: "filter" }, el("span", {}, label), el("select", { id }, options.map(([value, text]) => el("option", { value }, text))));
  }

  function build(model, onOpen) {
    const { data } = model, { names, run } = data;
    const search = el("input", { type: "search", id: "search", placeholder: "Search ids and text", "aria-label": "Search ids and text" });
    const what = select("measure", "share", [
      ["masked", "masked"], ...names.map((name, bit) => [`lacking ${bit}`, `lacking ${Base.spoken(name)}`]),
      ...Kinds.of(data).flatMap(({ bit, names: kinds }) => kinds.map((name, kind) => [`kind ${bit} ${kind}`, `looking like ${name}`])),
    ]);
    const where = select("where", "in", [["all", "whole response"], ["start", "first third"], ["middle", "middle third"], ["end", "last third"]]);
    const differing = model.datas.length > 1 ? [["differs", "most differences"]] : [];
    const order = select("order", "sort", [...differing, ["corpus", "data order"], ["most", "greatest share"], ["least", "smallest share"], ["longest", "longest"], ["shortest", "shortest"], ["id", "id"]]);
    const least = el("input", { type: "number", id: "least", min: 0, max: 100, step: 5, value: 0 });
    const reasons = [...new Set(run.why)];
    const why = reasons.length > 1 ? select("why", "chosen for", [["", "any reason"], ...reasons.map((one) => [one, one])]) : null;
    const rows = el("div", { class: "rows", role: "presentation" }), status = el("p", { class: "quiet", role: "status", id: "found" });
    const view = el("div", { class: "list-view", id: "list", role: "listbox", tabindex: "0", "aria-label": "Examples" }, rows);
    const state = { shown: [], shares: new Map(), open: -1 };
    const value = (label) => label.querySelector("select").value;

    function apply() {
      const text = search.value.trim().toLowerCase(), isCounted = counted(model, value(what)), floor = Number(least.value) / 100;
      state.shares = new Map(run.ids.map((_, e) => [e, measure(model, e, isCounted, value(where))]));
      const ofKind = value(what).startsWith("kind");
      let shown = [...state.shares.keys()].filter((e) => state.shares.get(e) >= floor - 1e-12 && !(ofKind && !state.shares.get(e)));
      if (why && value(why)) shown = shown.filter((e) => run.why[e] === value(why));
      if (text) shown = shown.filter((e) => searchText(data, e).includes(text));
      const size = (e) => data.responseStarts[e + 1] - data.responseStarts[e];
      const counts = value(order) === "differs" ? new Map(shown.map((e) => [e, Differences.count(model, run.ids[e])])) : null;
      const differences = (e) => counts.get(e);
      const by = {
        most: (a, b) => state.shares.get(b) - state.shares.get(a), least: (a, b) => state.shares.get(a) - state.shares.get(b),
        longest: (a, b) => size(b) - size(a), shortest: (a, b) => size(a) - size(b),
        id: (a, b) => (run.ids[a] < run.ids[b] ? -1 : 1), differs: (a, b) => differences(b) - differences(a),
      }[value(order)];
      if (by) shown.sort((a, b) => by(a, b) || a - b);
      state.shown = shown;
      status.textContent = shown.length === run.ids.length ? Base.plural(shown.length, "example") : `${Base.count(shown.length)} of ${Base.plural(run.ids.length, "example")}`;
      draw();
    }

    function draw() {
      rows.style.height = `${state.shown.length * ROW}px`;
      const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 4);
      const last = Math.min(state.shown.length, first + Math.ceil((view.clientHeight || 600) / ROW) + 8);
      Base.replace(rows, state.shown.slice(first, last).map((e, i) => row(e, first + i)));
      const active = rows.querySelector('[aria-selected="true"]');
      if (active) view.setAttribute("aria-activedescendant", active.id);
      else view.removeAttribute("aria-activedescendant");
    }

    function row(e, place) {
      const share = state.shares.get(e), fill = el("span", { class: "meter-fill" });
      fill.style.width = `${100 * share}%`;
      const node = el("div", {
        class: "row", role: "option", id: `example-${e}`, "aria-selected": String(e === state.open), "aria-posinset": place + 1,
        "aria-setsize": state.shown.length, onclick: () => onOpen(e),
      },
      el("span", { class: "row-head" }, el("bdi", { class: "row-id" }, Tokens.clipped(data.title(e), 60)), el("span", { class: "row-share" }, Base.percent(share, 0))),
      el("span", { class: "row-text" }, opening(data, e)), el("span", { class: "meter", "aria-hidden": "true" }, fill));
      node.style.transform = `translateY(${place * ROW}px)`;
      return node;
    }

    /** Mark example `e` as open and bring it into sight. */
    function mark(e) {
      state.open = e;
      const place = state.shown.indexOf(e);
      if (place >= 0) {
        const top = place * ROW;
        if (top < view.scrollTop) view.scrollTop = top;
        else if (top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW - view.clientHeight;
      }
      draw();
    }

    /** The examples that hold one kind of mistake, those with most of it first. */
    function showKind({ bit, kind }) {
      what.querySelector("select").value = `kind ${bit} ${kind}`;
      order.querySelector("select").value = "most";
      apply();
      view.scrollTop = 0;
      if (state.shown.length) onOpen(state.shown[0]);
    }

    /** The examples that hold a phrase. */
    function showText(text) {
      search.value = text;
      least.value = 0;
      apply();
    }

    function step(by) {
      const place = state.shown.indexOf(state.open);
      const next = state.shown[Math.min(Math.max(place + by, 0), state.shown.length - 1)];
      if (next !== undefined) onOpen(next);
    }

    view.addEventListener("keydown", (event) => {
      const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      step(moves[event.key]);
    });
    view.addEventListener("scroll", Base.eachFrame(draw), { passive: true });
    for (const node of [search, least]) node.addEventListener("input", Base.eachFrame(apply));
    for (const node of [what, where, order, why]) node?.addEventListener("change", apply);
    Base.on("labels", apply);
    Base.on("kind", showKind);
    Base.on("resize", draw);
    const filters = el("div", { class: "filters" }, search, what, where,
      el("label", { class: "filter" }, el("span", {}, "at least, %"), least), order, why);
    return { node: el("div", { class: "list" }, filters, status, view), mark, step, apply, draw, showText };
  }

  return { build };
})();
