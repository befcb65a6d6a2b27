"use strict";
// The state that everything on the page looks at: the runs, the settings tried out, and the labels they give.
const Model = (() => {
  const model = { datas: [], settings: null, labels: null, changed: false, figures: null, before: null, basis: [] };

  async function load(payload) {
    model.datas = await Promise.all(payload.runs.map(Decode.open));
    for (const data of model.datas) {
      data.asRun = Trials.asRun(data);
      data.places = new Map(data.run.ids.map((id, e) => [id, e]));
    }
    model.data = model.datas[0];
    model.basis = Figures.basis(model.data);
    reset();
    return model;
  }

  /** Back to the labels as Python wrote them. */
  function reset() {
    model.settings = structuredClone(model.data.asRun);
    update();
  }

  /** Apply the settings; everything that shows labels listens to `labels`. */
  function update() {
    const { data } = model;
    const labelled = { lacking: data.lacking, noise: data.noise, unguarded: data.unguarded };
    model.changed = !Trials.same(model.settings, data.asRun);
    const tried = model.changed ? Trials.label(data, model.settings) : null;
    model.unknown = model.changed && tried === null;
    model.labels = tried ?? labelled;
    model.figures = tried ? Figures.count(data, tried, model.basis) : Figures.ofRun(data.run);
    model.before = tried ? Figures.count(data, labelled, model.basis) : null;
    model.estimate = tried !== null && !data.run.complete;
    Base.emit("labels", model);
  }
  const soon = Base.eachFrame(update);

  /** The settings that differ from those of the run, to be kept in a link. */
  function changes() {
    const pick = (now, before) => Object.fromEntries(Object.entries(now).filter(([key, value]) => !Trials.same(value, before[key])));
    const cuts = Object.entries(model.settings.cuts).map(([name, cut]) => [name, pick(cut, model.data.asRun.cuts[name])]);
    return { cuts: Object.fromEntries(cuts.filter(([, cut]) => Object.keys(cut).length)), combine: pick(model.settings.combine, model.data.asRun.combine) };
  }

  /** Take up settings that a link brings; what this run does not have, or of another type, is left aside. */
  function restore(text) {
    let given = null;
    try { given = JSON.parse(text); } catch { return; }
    const fits = (value, before) => typeof value === typeof before && Array.isArray(value) === Array.isArray(before);
    const known = (some, before) => Object.fromEntries(Object.entries(some ?? {}).filter(([key, value]) => Object.hasOwn(before, key) && fits(value, before[key])));
    const { asRun } = model.data;
    model.settings = structuredClone(asRun);
    for (const [name, cut] of Object.entries(given?.cuts ?? {})) if (Object.hasOwn(asRun.cuts, name)) Object.assign(model.settings.cuts[name], known(cut, asRun.cuts[name]));
    Object.assign(model.settings.combine, known(given?.combine, asRun.combine));
    update();
  }

  /** The command that makes the settings real. */
  function command() {
    const { cuts, combine } = model.settings, before = model.data.asRun, parts = [];
    for (const [name, cut] of Object.entries(cuts))
      for (const [key, value] of Object.entries(cut))
        if (!Trials.same(value, before.cuts[name][key])) parts.push(`thresholds.${name}.${key}=${yaml(value)}`);
    const cutKeys = model.data.run.trials.rules.map((rule) => rule.cutKey);
    for (const [key, value] of Object.entries(combine)) {
      if (Trials.same(value, before.combine[key])) continue;
      const whole = !cutKeys.includes(key);
      if (whole) parts.push(`combine.${key}=${yaml(value)}`);
      // a cut that the run's own configuration does not hold has to be given in full
      else for (const [inner, setting] of Object.entries(value))
        if (!(key in model.data.run.rules.combine) || !Trials.same(setting, before.combine[key][inner])) parts.push(`combine.${key}.${inner}=${yaml(setting)}`);
    }
    return `xtf label ${quoted(model.data.run.figures.run)}${parts.map((part) => ` --set ${quoted(part)}`).join("")}`;
  }

  const yaml = (value) => (Array.isArray(value) ? `[${value.join(",")}]` : typeof value === "number" ? Base.plain(value) : value);
  /** A word as a shell reads it back (`xtf.display.command`). */
  const quoted = (word) => (/^[\w./:@%+,-][\w./:@%+=,-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

  return { model, load, reset, update, soon, command, changes, restore, quoted };
})();
