"use strict";
// Labels under settings tried out. Python has fitted every setting on offer (xtf/report/html/trials.py): here scores are
// compared with bounds, steps with steps, and lacking attributes counted. What is not on offer, only `xtf label` can say.
const Trials = (() => {
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  const open = (intervals) => intervals.map(([low, high]) => [low ?? -Infinity, high ?? Infinity]);
  const changed = (trial, now) => Object.keys(trial.settings).filter((key) => !same(trial.settings[key], now[key]));

  /** The one control that answers for `now`; { control: null } if nothing moved, null where only Python can say. */
  function answer(trial, now) {
    const moved = changed(trial, now), controls = trial.controls.filter((one) => moved.includes(one.key));
    if (controls.length < moved.length) return null;
    if (controls.every((one) => one.is === "number")) return { control: null };
    const [control] = controls;
    if (controls.length > 1 || (control.is === "steps" && !control.values.includes(now[control.key]))) return null;
    return { control };
  }

  /** The intervals in which a score lacks under `now`, joined where they overlap: of each example or, `each`, typical. */
  function intervals(trial, now) {
    const control = answer(trial, now)?.control;
    let found = open(trial.intervals);
    if (control?.is === "steps") found = open(control.intervals[control.values.indexOf(now[control.key])]);
    if (control?.is === "choice") found = open([...now[control.key]].sort((a, b) => a - b).flatMap((one) => control.intervals[one]));
    for (const one of trial.controls)
      if (one.is === "number") found[one.interval][one.end === "start" ? 0 : 1] = Math.fround(now[one.key]);
    return found.reduce((all, [low, high]) => {
      if (all.length && low < all.at(-1)[1]) all.at(-1)[1] = high;
      else all.push([low, high]);
      return all;
    }, []);
  }

  /** For each response token 1 where it lacks under `now`; `labelled` where nothing moved; null where Python must say. */
  function marks(data, trial, scores, now, labelled) {
    const found = answer(trial, now);
    if (found === null || (!changed(trial, now).length && labelled)) return found && labelled;
    const control = found.control ?? trial.controls.find((one) => one.is !== "number");
    if (!control) {
      const bounds = intervals(trial, now);
      if (trial.each || !trial.controls.length) return null;
      return Uint8Array.from(scores, (score, r) => (!data.protected[r] && lacks(score, bounds) ? 1 : 0));
    }
    const column = data.columns[control.column];
    if (control.is === "choice") return Uint8Array.from(column, (one) => (now[control.key].includes(one) ? 1 : 0));
    const step = control.values.indexOf(now[control.key]);
    return Uint8Array.from(column, (turn) => ((step >= turn) === control.joins ? 1 : 0));
  }

  /** Labels under `settings` ({ cuts, combine }): lacking bits, noise before and after guards; null if Python must say. */
  function label(data, settings) {
    const lacking = new Uint16Array(data.noise.length);
    for (const [bit, name] of data.names.entries()) {
      const labelled = Uint8Array.from(data.lacking, (bits) => (bits >> bit) & 1);
      const found = marks(data, data.run.trials.cuts[name], data.scores[bit], settings.cuts[name], labelled);
      if (found === null) return null;
      for (let r = 0; r < lacking.length; r += 1) lacking[r] |= found[r] << bit;
    }
    const rule = ruleOf(data, settings);
    const unguarded = rule && (rule.cutKey ? combined(data, rule, settings) : voted(data, rule, settings, lacking));
    const noise = unguarded && guard(data, unguarded, settings.combine, severity(data, rule, lacking));
    return noise ? { lacking, unguarded, noise } : null;
  }

  const ruleOf = (data, settings) => data.run.trials.rules.find((one) => one.kind === settings.combine.rule);
  const scoresOf = (data, rule) => data.columns[`${rule.column}-score`];

  function combined(data, rule, settings) {
    const labelled = data.asRun.combine.rule === rule.kind ? data.unguarded : null;
    return marks(data, rule, scoresOf(data, rule), settings.combine[rule.cutKey], labelled);
  }

  function voted(data, rule, settings, lacking) {
    const { voters } = data.run.trials, needed = rule.countKey ? settings.combine[rule.countKey] : rule.needed;
    const mask = voters.reduce((bits, bit) => bits | (1 << bit), 0);
    return Uint8Array.from(lacking, (bits) => (voters.length && ones(bits & mask) >= needed ? 1 : 0));
  }

  function severity(data, rule, lacking) {
    if (rule.cutKey) return (r) => data.columns[`${rule.column}-severity`][r];
    return (r) => Math.min(100, ...data.names.map((_, bit) => (lacking[r] & (1 << bit) ? data.severity(bit, r) : 100)));
  }

  /** Release the least severe noise tokens until every example is within its cap; null if the cap is not on offer. */
  function guard(data, noise, combine, severityOf) {
    if (combine.max_noise_share >= 1 && combine.min_kept === 0) return noise;
    const share = data.run.trials.shares.find(([value]) => value === combine.max_noise_share);
    if (!share) return null;
    const { responseStarts, protected: kept, count } = data, guarded = noise.slice(), [, top, bottom] = share;
    for (let e = 0; e < count; e += 1) {
      const [from, to] = [responseStarts[e], responseStarts[e + 1]], some = [];
      let judged = 0;
      for (let r = from; r < to; r += 1) {
        if (noise[r]) some.push([r, severityOf(r)]);
        judged += kept[r] ? 0 : 1;
      }
      const cap = Math.max(Math.min(Math.floor((top * (to - from)) / bottom), judged - combine.min_kept), 0);
      some.sort((one, other) => one[1] - other[1] || one[0] - other[0]);
      for (const [r] of some.slice(cap)) guarded[r] = 0;
    }
    return guarded;
  }

  function ones(value) {
    let left = value, found = 0;
    while (left) { left &= left - 1; found += 1; }
    return found;
  }

  const lacks = (score, bounds) => bounds.some(([low, high]) => low < score && score < high);

  /** Distance to the nearest bound that could turn the verdict, negative where the score lacks; null without bound. */
  function margin(score, bounds) {
    const inside = bounds.find(([low, high]) => low < score && score < high);
    const near = (inside ?? bounds.flat()).filter(Number.isFinite).map((bound) => Math.abs(score - bound));
    if (!near.length) return null;
    return inside ? -Math.min(...near) : Math.min(...near);
  }

  function words(bounds) {
    if (!bounds.length) return "nothing lacks";
    return bounds.map(([low, high]) => {
      if (low === -Infinity && high === Infinity) return "any score";
      if (low === -Infinity) return `below ${Base.number(high, 6)}`;
      return high === Infinity ? `above ${Base.number(low, 6)}` : `between ${Base.number(low, 6)} and ${Base.number(high, 6)}`;
    }).join(" or ");
  }

  /** The settings that made the labels, with those of every rule that can be tried. */
  function asRun(data) {
    const { cuts, rules } = data.run.trials, combine = {};
    for (const rule of rules) {
      if (rule.countKey) combine[rule.countKey] = rule.needed;
      if (rule.cutKey) combine[rule.cutKey] = rule.settings;
    }
    const settings = Object.fromEntries(Object.entries(cuts).map(([name, trial]) => [name, trial.settings]));
    return structuredClone({ cuts: settings, combine: { ...combine, ...data.run.rules.combine } });
  }

  return { label, intervals, ruleOf, scoresOf, open, same, lacks, margin, words, asRun };
})();
