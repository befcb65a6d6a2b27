"use strict";
// What `xtf label` would do with other settings: xtf/combine.py and xtf/rules, on the embedded examples.
const Combine = (() => {
  const decides = (cut) => cut.kind !== "never";
  const fixedOf = (stored) => stored.fixed?.map(([low, high]) => [low ?? -Infinity, high ?? Infinity]) ?? null;
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

  function votesNeeded(combine, voters) {
    if (combine.rule === "any") return 1;
    return combine.rule === "all" ? Math.max(voters, 1) : combine.votes;
  }

  /** Which end of the scale a cut calls lacking. */
  function side(cut) {
    if (cut.kind === "above") return "high";
    if (cut.kind === "iqr") return cut.side;
    return ["below", "bottom_share", "top_share", "never"].includes(cut.kind) ? "low" : "both";
  }

  class Labeller {
    constructor(data) {
      this.data = data;
      this.sorted = new Map();
    }

    /** Judged scores in rising order: of example `e`, or of everything embedded. */
    judged(key, column, e) {
      const place = `${key}/${e}`;
      if (!this.sorted.has(place)) {
        const { responseStarts, protected: kept } = this.data;
        const [from, to] = e === "all" ? [0, column.length] : [responseStarts[e], responseStarts[e + 1]];
        const some = [];
        for (let r = from; r < to; r += 1) if (!kept[r]) some.push(column[r]);
        this.sorted.set(place, Float32Array.from(some).sort());
      }
      return this.sorted.get(place);
    }

    /** Intervals of a cut: { fixed } for all, { each } by example, { known } where they stay as labelled. */
    fit(key, column, cut, stored, table, edges) {
      if (stored && same(cut, stored.threshold) && stored.fixed) return { fixed: fixedOf(stored), exact: true };
      const fixed = Cuts.explicit(cut, edges);
      if (fixed) return { fixed, exact: true };
      if (cut.kind === "multi_otsu") return { known: true, exact: true };
      if (cut.scope === "dataset") {
        if (this.data.run.complete || !table)
          return { fixed: Cuts.ofScores(cut, this.judged(key, column, "all")), exact: this.data.run.complete };
        return { fixed: Cuts.ofTable(cut, table), exact: false };
      }
      const each = [];
      for (let e = 0; e < this.data.count; e += 1) each.push(Cuts.ofScores(cut, this.judged(key, column, e)));
      return { each, exact: true };
    }

    /** Set `bit` in `marks` for every judged token whose score lies in one of its intervals. */
    mark(column, fitted, marks, bit) {
      const { responseStarts, protected: kept, count } = this.data;
      const within = (intervals, from, to) => {
        for (const [low, high] of intervals)
          for (let r = from; r < to; r += 1) if (column[r] > low && column[r] < high && !kept[r]) marks[r] |= bit;
      };
      if (fitted.fixed) within(fitted.fixed, 0, column.length);
      else for (let e = 0; e < count; e += 1) within(fitted.each[e], responseStarts[e], responseStarts[e + 1]);
    }

    /** The labels as Python wrote them, with the cuts that made them. */
    asLabelled() {
      const { data } = this, settings = data.asRun, fitted = {};
      data.names.forEach((name, bit) => { fitted[name] = this.fitOne(name, bit, settings.cuts[name]); });
      const weighted = settings.combine.rule === "weighted" ? this.weighted(settings, data.lacking) : {};
      const { rank, ranks, noise: unguarded = data.noise } = weighted;
      return { lacking: data.lacking, noise: data.noise, unguarded, fitted, rank, ranks, exact: true };
    }

    fitOne(name, bit, cut) {
      const { cuts, quantiles, edges } = this.data.run.rules;
      return this.fit(name, this.data.scores[bit], cut, cuts[name], quantiles[name], edges[name]);
    }

    /** Labels under `settings` ({ cuts, combine }): lacking bits, noise, fitted cuts, and whether they are exact. */
    label(settings) {
      const { data } = this, { names, scores } = data, size = data.noise.length;
      const lacking = new Uint16Array(size), fitted = {};
      names.forEach((name, bit) => {
        const cut = settings.cuts[name];
        fitted[name] = this.fitOne(name, bit, cut);
        if (!decides(cut)) return;
        if (fitted[name].known) for (let r = 0; r < size; r += 1) lacking[r] |= data.lacking[r] & (1 << bit);
        else this.mark(scores[bit], fitted[name], lacking, 1 << bit);
      });
      const result = settings.combine.rule === "weighted" ? this.weighted(settings, lacking) : this.voted(settings, lacking);
      const noise = this.guard(result.noise, settings.combine, result.severity);
      const exact = Object.values(fitted).every((one) => one.exact) && (result.rank?.exact ?? true);
      return { lacking, noise, unguarded: result.noise, fitted, rank: result.rank, ranks: result.ranks, exact };
    }

    voted(settings, lacking) {
      const { names, noise } = this.data;
      const voters = names.map((name, bit) => (decides(settings.cuts[name]) ? 1 << bit : 0)).reduce((a, b) => a | b, 0);
      const count = ones(voters), needed = votesNeeded(settings.combine, count);
      const found = new Uint8Array(noise.length);
      if (count) for (let r = 0; r < found.length; r += 1) found[r] = ones(lacking[r] & voters) >= needed ? 1 : 0;
      const severity = (r) => {
        let lowest = 100;
        names.forEach((name, bit) => {
          if (lacking[r] & (1 << bit))
            lowest = Math.min(lowest, fromLackingEnd(this.data.percentiles(bit)[r], side(settings.cuts[name])));
        });
        return lowest;
      };
      return { noise: found, severity };
    }

    /** The mean of corpus ranks, in float32 steps of 2 ** -20 as in xtf.labelling.combine.mean_rank. */
    ranks(settings) {
      const { names, noise } = this.data, { weights } = settings.combine;
      const asked = names.map((name) => weights[name] ?? (decides(settings.cuts[name]) ? 1 : 0));
      const sum = asked.reduce((a, b) => a + b, 0), total = new Float64Array(noise.length);
      asked.forEach((weight, bit) => {
        if (!(weight > 0)) return;
        const factor = Math.fround(weight / sum / 100), column = this.data.percentiles(bit);
        for (let r = 0; r < total.length; r += 1) total[r] += Math.fround(factor * column[r]);
      });
      return Float32Array.from(total, (value) => halfEven(value * 2 ** 20) / 2 ** 20);
    }

    weighted(settings, lacking) {
      const ranks = this.ranks(settings), cut = settings.combine.threshold, stored = this.data.run.rules.rankCut;
      const unchanged = stored && same(settings, this.data.asRun);
      const key = `rank/${JSON.stringify([settings.combine.weights, this.data.names.map((n) => decides(settings.cuts[n]))])}`;
      const rank = this.fit(key, ranks, cut, unchanged ? stored : null, null, null);
      const found = new Uint8Array(lacking.length);
      if (rank.known) found.set(this.data.noise);
      else this.mark(ranks, rank, found, 1);
      return { noise: found, ranks, rank, severity: (r) => fromLackingEnd(Math.fround(ranks[r] * 100), side(cut)) };
    }

    /** Release the least severe noise tokens until every example is within its cap. */
    guard(noise, combine, severity) {
      if (combine.max_noise_share >= 1 && combine.min_kept === 0) return noise;
      const { responseStarts, protected: kept, count } = this.data, guarded = noise.slice();
      for (let e = 0; e < count; e += 1) {
        const some = [];
        let judged = 0;
        for (let r = responseStarts[e]; r < responseStarts[e + 1]; r += 1) {
          if (noise[r]) some.push([r, severity(r)]);
          judged += kept[r] ? 0 : 1;
        }
        const byShare = Cuts.lackingCount(combine.max_noise_share, responseStarts[e + 1] - responseStarts[e]);
        const cap = Math.max(Math.min(byShare, judged - combine.min_kept), 0);
        if (some.length <= cap) continue;
        some.sort((one, other) => one[1] - other[1] || one[0] - other[0]);
        for (const [r] of some.slice(cap)) guarded[r] = 0;
      }
      return guarded;
    }
  }

  function fromLackingEnd(percentile, end) {
    if (end === "low") return percentile;
    const mirrored = Math.fround(100 - percentile);
    return end === "high" ? mirrored : Math.min(percentile, mirrored);
  }

  function halfEven(value) {
    const down = Math.floor(value), rest = value - down;
    if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
    return down % 2 ? down + 1 : down;
  }

  function ones(value) {
    let left = value, found = 0;
    while (left) { left &= left - 1; found += 1; }
    return found;
  }

  /** The settings that made the labels. */
  function asRun(data) {
    const { cuts, combine } = data.run.rules;
    const settings = { cuts: Object.fromEntries(data.names.map((name) => [name, cuts[name].threshold])), combine };
    return structuredClone(settings);
  }

  return { Labeller, asRun, decides, ones, votesNeeded, same };
})();
