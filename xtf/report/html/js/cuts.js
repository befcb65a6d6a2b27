"use strict";
// Cuts as xtf/threshold has them: a score lacks when low < score < high for one of the cut's open intervals.
// Bounds are float32 numbers, so every comparison here gives what it gives in Python.
const Cuts = (() => {
  const single = new Float32Array(1);
  const bits = new Int32Array(single.buffer);

  /** The next float32 above `value`. */
  function above(value) {
    single[0] = value;
    if (single[0] === Infinity) return Infinity;
    if (single[0] === 0) { bits[0] = 1; return single[0]; }
    bits[0] += single[0] > 0 ? 1 : -1;
    return single[0];
  }
  const predecessor = (value) => -above(-value);
  function float32Up(value) {
    const rounded = Math.fround(value);
    return rounded < value ? above(rounded) : rounded;
  }
  const float32Down = (value) => -float32Up(-value);

  /** The fraction that `share` was written as, with a denominator of at most 1e9 (Fraction.limit_denominator). */
  function fraction(share) {
    const [digits, exponent] = String(share).split("e");
    const [whole, part = ""] = digits.split(".");
    let top = BigInt(whole + part), bottom = 10n ** BigInt(part.length);
    if (exponent) { if (exponent < 0) bottom *= 10n ** BigInt(-exponent); else top *= 10n ** BigInt(exponent); }
    const most = 1000000000n;
    let [a, b] = [top, bottom];
    while (b) [a, b] = [b, a % b];
    top /= a; bottom /= a;
    if (bottom <= most) return [top, bottom];
    let [p0, q0, p1, q1, n, d] = [0n, 1n, 1n, 0n, top, bottom];
    for (;;) {
      const step = n / d, q2 = q0 + step * q1;
      if (q2 > most) break;
      [p0, q0, p1, q1] = [p1, q1, p0 + step * p1, q2];
      [n, d] = [d, n - step * d];
    }
    const k = (most - q0) / q1;
    return 2n * d * (q0 + k * q1) <= bottom ? [p1, q1] : [p0 + k * p1, q0 + k * q1];
  }
  function lackingCount(share, tokens) {
    const [top, bottom] = fraction(share);
    return Number((top * BigInt(tokens)) / bottom);
  }
  const lackingShare = (cut) => (cut.kind === "bottom_share" ? cut.share : Number((1 - cut.keep).toFixed(12)));

  /** numpy.quantile of sorted scores, operation for operation. */
  function quantile(sorted, share) {
    const place = (sorted.length - 1) * share, low = Math.floor(place), weight = place - low;
    const first = sorted[low], last = sorted[Math.min(low + 1, sorted.length - 1)], step = last - first;
    return weight >= 0.5 ? last - step * (1 - weight) : first + step * weight;
  }

  function iqr(cut, first, third) {
    const reach = cut.k * (third - first);
    const low = [-Infinity, float32Up(first - reach)], high = [float32Down(third + reach), Infinity];
    return { low: [low], high: [high], both: [low, high] }[cut.side];
  }

  function otsu(cut, edges) {
    const starts = [-Infinity, ...edges.map(predecessor)], stops = [...edges, Infinity], joined = [];
    for (const cluster of [...new Set(cut.lacking)].sort()) {
      let start = starts[cluster];
      if (joined.length && joined.at(-1)[1] > start) start = joined.pop()[0];
      joined.push([start, stops[cluster]]);
    }
    return joined;
  }

  /** Intervals of sorted, judged scores: of one example, or of the whole corpus. Null where only Python can say. */
  function ofScores(cut, sorted) {
    if (cut.kind === "iqr") return sorted.length ? iqr(cut, quantile(sorted, 0.25), quantile(sorted, 0.75)) : [];
    if (cut.kind === "bottom_share" || cut.kind === "top_share") {
      if (!sorted.length) return [];
      const kept = lackingCount(lackingShare(cut), sorted.length);
      return [[-Infinity, kept < sorted.length ? sorted[kept] : Infinity]];
    }
    return null;
  }

  /** From a table of corpus quantiles, where the corpus itself is not embedded: an estimate. */
  function ofTable(cut, table) {
    const at = (share) => {
      const place = share * (table.length - 1), low = Math.min(Math.floor(place), table.length - 2);
      return table[low] + (table[low + 1] - table[low]) * (place - low);
    };
    if (cut.kind === "iqr") return iqr(cut, at(0.25), at(0.75));
    return [[-Infinity, Math.fround(at(lackingShare(cut)))]];
  }

  /** Intervals that need no score: explicit numbers and Multi-Otsu clusters. */
  function explicit(cut, edges) {
    const round = Math.fround;
    if (cut.kind === "never") return [];
    if (cut.kind === "below") return [[-Infinity, round(cut.cut)]];
    if (cut.kind === "above") return [[round(cut.cut), Infinity]];
    if (cut.kind === "outside") return [[-Infinity, round(cut.low)], [round(cut.high), Infinity]];
    if (cut.kind === "multi_otsu" && cut.scope === "dataset" && edges?.[cut.classes])
      return otsu(cut, edges[cut.classes]);
    return null;
  }

  const lacks = (score, intervals) => intervals.some(([low, high]) => low < score && score < high);

  /** Distance to the nearest bound that could turn the verdict, negative where the score lacks; null without bound. */
  function margin(score, intervals) {
    const inside = intervals.find(([low, high]) => low < score && score < high);
    const near = (inside ?? intervals.flat()).filter(Number.isFinite).map((bound) => Math.abs(score - bound));
    if (!near.length) return null;
    return inside ? -Math.min(...near) : Math.min(...near);
  }

  /** The median of each bound over the examples' own intervals. */
  function typical(each) {
    const some = each.filter((intervals) => intervals.length);
    const middle = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
    return (some[0] ?? []).map((_, i) => [0, 1].map((end) => middle(some.map((intervals) => intervals[i][end]))));
  }

  function words(intervals) {
    if (!intervals.length) return "nothing lacks";
    return intervals.map(([low, high]) => {
      if (low === -Infinity && high === Infinity) return "any score";
      if (low === -Infinity) return `below ${Base.number(high, 6)}`;
      return high === Infinity ? `above ${Base.number(low, 6)}` : `between ${Base.number(low, 6)} and ${Base.number(high, 6)}`;
    }).join(" or ");
  }

  return { lackingCount, ofScores, ofTable, explicit, lacks, margin, typical, words, predecessor, float32Up, quantile };
})();
