"use strict";
// One token's card: what was decided and why, in Python's words, and each attribute on a small scale.
const Card = (() => {
  const { el, svg } = Base;

  /** The place of a score among the corpus's quantiles, 0 to 1. */
  function rank(table, value) {
    if (!table.length || value <= table[0]) return 0;
    let low = 0, high = table.length - 1;
    if (value >= table[high]) return 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (table[middle] <= value) low = middle;
      else high = middle;
    }
    const step = table[high] - table[low];
    return (low + (step > 0 ? (value - table[low]) / step : 0)) / (table.length - 1);
  }

  /** Corpus percentiles from left to right; the lacking part hatched, the cut a line, the token a dot. */
  function scale(percentile, intervals, table, lacking, position) {
    const at = (value) => 4 + 192 * value;
    const image = svg("svg", { viewBox: "0 0 200 22", class: "scale", "aria-hidden": "true" },
      svg("line", { x1: 4, x2: 196, y1: 11, y2: 11, class: "scale-line" }));
    for (const [low, high] of intervals) {
      const from = low === -Infinity ? 0 : rank(table, low), to = high === Infinity ? 1 : rank(table, high);
      image.append(svg("rect", { x: at(from), y: 7, width: Math.max(at(to) - at(from), 1.5), height: 8, class: `scale-lacking fill-${position % 5}` }));
      for (const [bound, place] of [[low, from], [high, to]])
        if (Number.isFinite(bound)) image.append(svg("line", { x1: at(place), x2: at(place), y1: 3, y2: 19, class: "scale-cut" }));
    }
    const x = at(percentile / 100);
    image.append(lacking
      ? svg("path", { d: `M${x - 5},6 L${x + 5},16 M${x + 5},6 L${x - 5},16`, class: `scale-cross stroke-${position % 5}` })
      : svg("circle", { cx: x, cy: 11, r: 5, class: "scale-dot" }));
    return image;
  }

  function row(name, position, facts) {
    const { value, percentile, lacking, cut, margin, meaning, image } = facts;
    const pair = (term, text) => el("div", {}, el("dt", {}, term), el("dd", {}, text));
    return el("li", { class: "attribute" },
      el("div", { class: "attribute-head" }, el("span", { class: `swatch line-${position % 5}` }), el("strong", {}, Base.spoken(name)),
        el("span", { class: lacking ? "verdict lacks" : "verdict" }, lacking ? "lacks" : "enough")),
      image,
      el("dl", { class: "facts" },
        pair("value", Base.number(value, 4)), pair("percentile", percentile.toFixed(1)),
        pair("margin", margin === null ? "–" : `${margin > 0 ? "+" : ""}${Base.number(margin, 3)}`),
        pair("lacks when", cut)),
      meaning ? el("p", { class: "meaning" }, meaning) : null);
  }

  /** The card of token `index`, filled in when Python's words have been unpacked. */
  function build(model, e, index) {
    const { data, labels } = model, t = data.starts[e] + index, place = data.tokens[t];
    const r = data.response[t] ? responsePlace(data, e, t) : -1;
    const noise = r >= 0 && labels.noise[r], kept = r >= 0 && data.protected[r];
    const verdict = r < 0 ? (data.columns.rulings[t] ? "not learnt" : "prompt") : kept ? "protected" : noise ? "masked" : "kept";
    const split = data.split(place), isSpecial = data.run.texts.special.includes(place);
    const text = el("bdi", { class: "card-text" }, Tokens.pieces(Tokens.clipped(split?.whole ?? data.shown(place))));
    const card = el("div", { class: "card-body" },
      el("header", {}, el("h3", {}, text), el("span", { class: `badge ${verdict.replace("not learnt", "prompt")}` }, verdict)),
      el("p", { class: "quiet" }, `token ${index} · id ${data.run.texts.ids[place]}${isSpecial ? " · special" : ""}${split ? ` · part ${split.part} of ${split.parts}: ${split.bytes}` : ""}`));
    if (r < 0) {
      const ruled = data.run.rulings[data.columns.rulings[t]];
      card.append(el("p", {}, ruled ? `This token ${ruled}.` : "Belongs to the prompt: it is read, but not scored."));
      return card;
    }
    const sentence = el("p", { class: "sentence" }, "…"), flip = el("p", { class: "flip" }), list = el("ol", { class: "attributes" });
    const changed = noise !== (data.noise[r] ? 1 : 0) || labels.lacking[r] !== data.lacking[r];
    if (model.changed) card.append(el("p", { class: `trial ${changed ? "turned" : ""}` },
      changed ? `With the cuts tried out: ${noise ? "masked" : "kept"}. As labelled:` : "The cuts tried out change nothing here. As labelled:"));
    card.append(sentence, flip, list);
    data.words(e).then((words) => fill(model, e, r, words, { sentence, flip, list }));
    return card;
  }

  function fill(model, e, r, words, { sentence, flip, list }) {
    const { data, labels } = model, said = words.tokens[r - data.responseStarts[e]];
    sentence.textContent = Tokens.clipped(said.sentence, 1200);
    Base.replace(flip, el("span", { class: "quiet" }, said.rule), said.flip ? [el("br"), el("strong", {}, "Would be "), said.flip, "."] : null);
    Base.replace(list);
    decidingFirst(model, r, words).forEach((bit) => {
      const name = data.names[bit];
      const facts = cutFacts(data.run.trials.cuts[name], model.settings.cuts[name], data.asRun.cuts[name], words, bit);
      list.append(entry(name, bit, {
        ...facts, value: data.scores[bit][r], percentile: data.percentile(bit, r), meaning: said.meanings[bit],
        lacking: Boolean(labels.lacking[r] & (1 << bit)), judged: !data.protected[r], table: data.run.rules.quantiles[name],
      }));
    });
    const rule = Trials.ruleOf(data, model.settings);
    if (rule?.cutKey) {
      const value = Trials.scoresOf(data, rule)[r], settings = [model.settings, data.asRun].map(({ combine }) => combine[rule.cutKey]);
      list.append(entry(rule.name, data.names.length, {
        ...cutFacts(rule, ...settings, data.asRun.combine.rule === rule.kind ? words : null, data.names.length), value, percentile: 100 * value, meaning: null,
        lacking: Boolean(labels.unguarded[r]), judged: !data.protected[r], table: Array.from({ length: 101 }, (_, i) => i / 100),
      }));
    }
  }

  /** The attributes, those first by which the token is masked, or else the one that is nearest to its cut. */
  function decidingFirst({ data, labels, settings }, r, words) {
    const distances = data.names.map((name, bit) => {
      if (labels.lacking[r] & (1 << bit)) return -1;
      const { intervals } = cutFacts(data.run.trials.cuts[name], settings.cuts[name], data.asRun.cuts[name], words, bit);
      const bounds = intervals.flat().filter(Number.isFinite), at = data.percentile(bit, r);
      return Math.min(Infinity, ...bounds.map((bound) => Math.abs(100 * rank(data.run.rules.quantiles[name], bound) - at)));
    });
    return data.names.map((_, bit) => bit).sort((a, b) => (distances[a] === distances[b] ? a - b : distances[a] - distances[b]));
  }

  /** The intervals of a cut and its words: Python's for this example, or those of the setting tried out. */
  function cutFacts(trial, now, before, words, place) {
    if (words && Trials.same(now, before)) return { intervals: words.intervals[place], cut: words.cuts[place], exact: true };
    const intervals = Trials.intervals(trial, now);
    return { intervals, cut: `${trial.each ? "typically " : ""}${Trials.words(intervals)}`, exact: !trial.each };
  }

  function entry(name, position, { intervals, exact, judged, table, ...facts }) {
    const { value, percentile, lacking } = facts;
    return row(name, position, {
      ...facts, margin: judged && exact ? Trials.margin(value, intervals) : null,
      image: scale(percentile, judged ? intervals : [], table, lacking, position),
    });
  }

  function responsePlace(data, e, t) {
    let r = data.responseStarts[e];
    for (let i = data.starts[e]; i < t; i += 1) r += data.response[i];
    return r;
  }

  return { build };
})();
