"use strict";
// The figures of a labelling over some of the embedded examples, counted as xtf.labelling.Tally counts them.
const Figures = (() => {
  /** The examples that figures are taken from: all, or of a sample those that were drawn by chance. */
  function basis(data) {
    const drawn = data.run.why.map((why, e) => (why === "random" ? e : -1)).filter((e) => e >= 0);
    return drawn.length ? drawn : data.run.ids.map((_, e) => e);
  }

  function count(data, labels, examples) {
    const { responseStarts, protected: kept, names } = data;
    const overlaps = new Map(), deciles = { masked: new Array(10).fill(0), all: new Array(10).fill(0) };
    const lackingOf = names.map(() => 0), maskedOf = names.map(() => 0);
    let response = 0, masked = 0, released = 0;
    for (const e of examples) {
      const from = responseStarts[e], size = responseStarts[e + 1] - from;
      response += size;
      for (let i = 0; i < size; i += 1) {
        const r = from + i, noise = labels.noise[r], set = labels.lacking[r], decile = Math.floor((i * 10) / size);
        deciles.all[decile] += 1;
        if (noise) { masked += 1; deciles.masked[decile] += 1; }
        if (labels.unguarded?.[r] && !noise) released += 1;
        if (kept[r]) continue;
        const entry = overlaps.get(set) ?? [0, 0];
        entry[0] += 1;
        entry[1] += noise;
        overlaps.set(set, entry);
        for (let bit = 0; bit < names.length; bit += 1)
          if (set & (1 << bit)) { lackingOf[bit] += 1; maskedOf[bit] += noise; }
      }
    }
    return {
      examples: examples.length,
      response,
      masked,
      share: masked / Math.max(response, 1),
      released,
      attributes: names.map((name, bit) => ({
        name, lacking: lackingOf[bit], masked: maskedOf[bit], share: lackingOf[bit] / Math.max(response, 1),
      })),
      overlaps: [...overlaps].map(([set, [tokens, some]]) => ({
        attributes: names.filter((_, bit) => set & (1 << bit)), tokens, masked: some,
      })).sort((a, b) => b.tokens - a.tokens || (a.attributes.join() < b.attributes.join() ? -1 : 1)),
      deciles: deciles.masked.map((some, i) => some / Math.max(deciles.all[i], 1)),
    };
  }

  /** The figures of the whole run as Python counted them, in the same shape. */
  function ofRun(run) {
    const summary = run.figures.summary;
    return {
      examples: summary.examples,
      response: summary.response_tokens,
      masked: summary.masked_tokens,
      share: summary.masked_share,
      released: summary.released_by_guards,
      attributes: summary.attributes,
      overlaps: summary.overlaps,
      deciles: summary.masked_share_by_decile,
    };
  }

  return { basis, count, ofRun };
})();
