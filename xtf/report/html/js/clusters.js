"use strict";
// What is masked again and again: runs of tokens that stand in the data many times, and how often they are masked.
const Clusters = (() => {
  const { el } = Base;
  const LONGEST = 4, MOST = 30, FEWEST = 3;

  /** Phrases of up to four tokens, `{ key, size, total, masked, first }`, those that mask most tokens first. */
  function find(model) {
    const phrases = new Map();
    each(model, (key, size, e, t, masked) => {
      if (!masked) return;
      const found = phrases.get(key);
      if (found) found.masked += 1;
      else phrases.set(key, { key, size, total: 0, masked: 1, first: { e, t } });
    });
    for (const [key, one] of phrases) if (one.masked < FEWEST) phrases.delete(key);
    each(model, (key) => { const found = phrases.get(key); if (found) found.total += 1; });
    return distinct([...phrases.values()].sort((a, b) => b.masked * b.size - a.masked * a.size || b.size - a.size));
  }

  /** Every run of response tokens of one to four tokens, and whether all of it is masked. */
  function each({ data, labels }, visit) {
    for (let e = 0; e < data.count; e += 1) {
      let r = data.responseStarts[e];
      let places = [];
      for (let t = data.starts[e]; t <= data.starts[e + 1]; t += 1) {
        const inside = t < data.starts[e + 1] && data.response[t] && !data.protected[r];
        if (inside) add(data, places, t, Boolean(labels.noise[r]));
        else { grams(places, (...found) => visit(...found.slice(0, 2), e, ...found.slice(2))); places = []; }
        if (t < data.starts[e + 1] && data.response[t]) r += 1;
      }
    }
  }

  /** One more token to a run of them; the tokens of one character count as one, masked if all of them are. */
  function add(data, places, t, masked) {
    const place = data.tokens[t], last = places.at(-1);
    if (!(data.split(place)?.part > 1)) places.push({ t, key: `${place},`, masked });
    else if (last) { last.key += `${place},`; last.masked &&= masked; }
  }

  function grams(places, visit) {
    for (let from = 0; from < places.length; from += 1) {
      let key = "", masked = true;
      for (let size = 1; size <= LONGEST && from + size <= places.length; size += 1) {
        const one = places[from + size - 1];
        key += one.key;
        masked &&= one.masked;
        visit(key, size, places[from].t, masked);
      }
    }
  }

  /** The first of these that say something of their own: no part of a phrase that stands there most times itself. */
  function distinct(sorted) {
    const kept = [];
    for (const one of sorted) {
      const inside = kept.some((other) => holds(other, one) && other.masked >= 0.5 * one.masked);
      const around = kept.some((other) => holds(one, other) && one.masked <= 0.5 * other.masked);
      if (!inside && !around) kept.push(one);
      if (kept.length === MOST) break;
    }
    return kept;
  }

  const holds = (whole, part) => whole.size > part.size && `,${whole.key}`.includes(`,${part.key}`);

  function text(data, { key }) {
    return key.split(",").filter(Boolean).map((place) => data.text(Number(place))).join("");
  }

  function table(model, found) {
    const { data } = model;
    if (!found.length) return el("p", { class: "quiet" }, "Nothing is masked three times or more.");
    return Overview.table(["phrase", "stands there", "masked"], found.map((one) => [
      el("button", { type: "button", class: "link phrase", onclick: () => Base.emit("phrase", { text: text(data, one), ...one.first }) },
        el("bdi", { class: "chip" }, Tokens.pieces(Tokens.clipped(Tokens.marked(text(data, one)), 60)))),
      Base.plural(one.total, "time"), one.masked === one.total ? "all" : `${Base.count(one.masked)} (${Base.percent(one.masked / one.total, 0)})`,
    ]), "numbers");
  }

  return { find, table, text };
})();
