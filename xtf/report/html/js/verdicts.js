"use strict";
// What the reader decides: accept or reject a verdict for a token, its span or every such token; a small file to download.
const Verdicts = (() => {
  const { el } = Base;
  const state = { model: null, place: null, given: new Map(), panel: null };

  const key = () => `xtf-verdicts:${state.model.data.run.figures.run}`;
  const name = (verdict) => (verdict.grain === "rule" ? `rule ${verdict.token_ids[0]}` : `${verdict.grain} ${verdict.start} ${verdict.token_ids.length} ${verdict.example}`);

  /** The response tokens of an example with what the page needs to know of each. */
  function tokensOf(e) {
    const { data } = state.model, found = [];
    let r = data.responseStarts[e];
    for (let t = data.starts[e]; t < data.starts[e + 1]; t += 1) {
      const own = data.response[t] ? r++ : -1, place = data.tokens[t];
      const judged = own >= 0 && !data.protected[own] && !data.columns.rulings[t];
      found.push({ judged, masked: judged && Boolean(data.noise[own]), id: data.run.texts.ids[place], place });
    }
    return found;
  }

  /** What can be decided at a token: itself, its neighbours that are treated alike, and every token of its id. */
  function targets(e, at) {
    const { data } = state.model, tokens = tokensOf(e), here = tokens[at];
    if (!here?.judged) return [];
    const alike = (one) => one?.judged && one.masked === here.masked;
    let start = at, stop = at + 1;
    while (alike(tokens[start - 1])) start -= 1;
    while (alike(tokens[stop])) stop += 1;
    const span = tokens.slice(start, stop), example = data.run.ids[e];
    const text = (shown) => Tokens.clipped(shown.replaceAll("\n", ""), 60), own = data.alone(here.place);
    const whole = (some) => (data.split(some[0].place)?.part > 1 ? data.split(some[0].place).whole : "") + some.map((one) => data.plain(one.place)).join("");
    return [
      { grain: "token", example, start: at, token_ids: [here.id], masked: here.masked, text: text(own), words: "this token" },
      ...(span.length > 1 ? [{ grain: "span", example, start, token_ids: span.map((one) => one.id), masked: here.masked, text: text(whole(span)), words: `this span of ${span.length} tokens` }] : []),
      { grain: "rule", token_ids: [here.id], masked: here.masked, text: text(data.split(here.place)?.bytes ?? own), words: "every such token" },
    ];
  }

  function give({ words, masked, ...target }, answer) {
    const decided = (answer === "accept") === masked ? "mask" : "keep";
    const verdict = { ...target, answer, decided };
    state.given.delete(name(verdict));
    state.given.set(name(verdict), verdict);
    changed();
  }

  function changed() {
    Base.stored(key(), JSON.stringify([...state.given.values()]));
    draw();
  }

  /** Where a link leads; choosing a token afterwards says so itself. */
  function follow() {
    const found = new URLSearchParams(location.hash.slice(1)), token = found.get("token");
    if (found.get("example") !== null) state.place = { example: found.get("example"), token: token ? Number(token) : null };
  }

  /** The verdicts given on this page before, in this browser. */
  function remembered() {
    try {
      for (const verdict of JSON.parse(Base.stored(key()) ?? "[]")) state.given.set(name(verdict), verdict);
    } catch { /* something else under our key: nothing to go on with */ }
  }

  function row(target) {
    const given = state.given.get(name(target));
    const outcome = target.masked ? "masked" : "kept";
    const button = (answer, text) => el("button", {
      type: "button", "aria-pressed": String(given?.answer === answer), "data-grain": target.grain, "data-answer": answer,
      "aria-label": `${text}: ${target.words} is ${outcome}`, onclick: () => give(target, answer),
    }, text);
    return el("li", {}, el("span", {}, `${target.words}: `, el("bdi", { class: "chip" }, Tokens.pieces(target.text)), ` ${outcome}`),
      button("accept", "accept"), button("reject", "reject"));
  }

  function list() {
    const items = [...state.given].map(([one, verdict]) => el("li", {},
      el("span", {}, `${verdict.decided === "mask" ? "masked" : "kept"}: ${verdict.grain === "rule" ? "every " : ""}`, el("bdi", { class: "chip" }, Tokens.pieces(verdict.text)),
        verdict.example === undefined ? "" : [" in ", el("bdi", {}, Tokens.clipped(Tokens.marked(verdict.example), 40))]),
      el("button", { type: "button", class: "undo", "aria-label": "Take this verdict back", onclick: () => { state.given.delete(one); changed(); } }, "undo")));
    return items.length ? el("details", { class: "given" }, el("summary", {}, Base.plural(items.length, "verdict")), el("ol", {}, items)) : null;
  }

  /** What `xtf label RUN --verdicts FILE` reads. */
  function file(by) {
    const { data } = state.model;
    return { xtf_verdicts: 1, run: data.run.figures.run, by, verdicts: [...state.given.values()] };
  }

  function download() {
    const by = state.panel.querySelector("#verdicts-by").value.trim();
    const address = URL.createObjectURL(new Blob([`${JSON.stringify(file(by), null, 1)}\n`], { type: "application/json" }));
    el("a", { href: address, download: "verdicts.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  function draw() {
    const { panel, place, model } = state, body = panel.querySelector(".verdicts-body");
    const e = place === null ? undefined : model.data.places.get(place.example);
    const found = e === undefined || place.token === null ? [] : targets(e, place.token);
    const hint = place?.token === undefined || place?.token === null ? "Choose a token to accept or reject its verdict." : "No verdict was given on this token: it is not scored, or always kept.";
    Base.replace(body, found.length ? el("ul", {}, found.map(row)) : el("p", { class: "quiet" }, hint), list());
    const command = `xtf label ${Model.quoted(model.data.run.figures.run)} --verdicts verdicts.json`;
    panel.querySelector("code").textContent = command;
    panel.querySelector(".verdicts-end").hidden = state.given.size === 0;
  }

  function build(model) {
    const reader = document.querySelector(".examples .reader");
    if (state.panel || !reader) return;
    state.model = model;
    const by = el("input", { type: "text", id: "verdicts-by", maxlength: "80", placeholder: "your name", autocomplete: "off", "aria-label": "Your name" });
    state.panel = el("section", { class: "verdicts", id: "verdicts", "aria-label": "Your verdicts" },
      el("h3", {}, "Your verdicts"), el("div", { class: "verdicts-body" }),
      el("div", { class: "verdicts-end", hidden: true }, by, el("button", { type: "button", id: "download-verdicts", onclick: download }, "download verdicts.json"),
        el("p", { class: "quiet" }, "Then: ", el("code", {}))));
    reader.append(state.panel);
    remembered();
    follow();
    draw();
  }

  Base.on("labels", build);
  Base.on("place", (place) => { state.place = place; if (state.panel) draw(); });
  addEventListener("hashchange", () => { follow(); if (state.panel) draw(); });
  return { file };
})();
