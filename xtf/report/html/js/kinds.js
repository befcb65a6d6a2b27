"use strict";
// The kinds of mistakes that tokens look like: which there are, their colours, and which tokens show one.
const Kinds = (() => {
  const PALETTE = [...d3.schemeTableau10, ...d3.schemeSet3];

  /** The attributes that name kinds: `{ bit, names }`. */
  const of = (data) => Object.entries(data.run.kinds).map(([place, names]) => ({ bit: Number(place), names }));

  /** The tokens that lack attribute `bit`, by kind. */
  function count(data, labels, bit) {
    const tokens = new Array(data.run.kinds[bit].length).fill(0);
    for (let r = 0; r < labels.noise.length; r += 1) if (shown(data, labels, bit, r)) tokens[data.columns[`kind${bit}`][r]] += 1;
    return tokens;
  }

  /** Whether token `r` looks like any mistake: it lacks the attribute that says so. */
  const shown = (data, labels, bit, r) => Boolean((labels.lacking[r] >> bit) & 1) && !data.protected[r];

  /** Whether token `r` looks like a mistake of this kind. */
  const is = (data, labels, bit, kind, r) => shown(data, labels, bit, r) && data.columns[`kind${bit}`][r] === kind;

  const name = (data, bit, r) => data.run.kinds[bit][data.columns[`kind${bit}`][r]];

  /** The kinds most common as labelled get the colours that differ most. */
  function colour(data, bit, kind) {
    data.kindOrder ??= new Map();
    if (!data.kindOrder.has(bit)) {
      const tokens = count(data, data, bit);
      data.kindOrder.set(bit, d3.range(tokens.length).sort((a, b) => tokens[b] - tokens[a] || a - b));
    }
    return d3.color(PALETTE[data.kindOrder.get(bit).indexOf(kind) % PALETTE.length]);
  }

  return { of, count, shown, is, name, colour };
})();
