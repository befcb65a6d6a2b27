"use strict";
// The state that everything on the page looks at: the runs, the settings tried out, and the labels they give.
const Model = (() => {
  const model = { datas: [], settings: null, labels: null, changed: false, figures: null, before: null, basis: [] };

  async function load(payload) {
    model.datas = await Promise.all(payload.runs.map(Decode.open));
    for (const data of model.datas) {
      data.asRun = Combine.asRun(data);
      data.places = new Map(data.run.ids.map((id, e) => [id, e]));
    }
    model.data = model.datas[0];
    model.labeller = new Combine.Labeller(model.data);
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
    model.changed = !Combine.same(model.settings, data.asRun);
    model.asLabelled ??= model.labeller.asLabelled();
    model.labels = model.changed ? model.labeller.label(model.settings) : model.asLabelled;
    if (model.changed) {
      model.figures = Figures.count(data, model.labels, model.basis);
      model.before = Figures.count(data, { lacking: data.lacking, noise: data.noise }, model.basis);
    } else {
      model.figures = Figures.ofRun(data.run);
      model.before = null;
    }
    model.estimate = model.changed && !(data.run.complete && model.labels.exact);
    Base.emit("labels", model);
  }
  const soon = Base.eachFrame(update);

  /** The command that makes the settings real. */
  function command() {
    const { cuts, combine } = model.settings, before = model.data.asRun, parts = [];
    for (const [name, cut] of Object.entries(cuts))
      for (const [key, value] of Object.entries(cut))
        if (!Combine.same(value, before.cuts[name][key])) parts.push(`thresholds.${name}.${key}=${yaml(value)}`);
    for (const [key, value] of Object.entries(combine)) {
      if (key === "threshold") {
        for (const [inner, setting] of Object.entries(value))
          if (!Combine.same(setting, before.combine.threshold[inner])) parts.push(`combine.threshold.${inner}=${yaml(setting)}`);
      } else if (!Combine.same(value, before.combine[key])) parts.push(`combine.${key}=${yaml(value)}`);
    }
    return `xtf label ${quoted(model.data.run.figures.run)}${parts.map((part) => ` --set ${part}`).join("")}`;
  }

  const yaml = (value) => (Array.isArray(value) ? `[${value.join(",")}]` : typeof value === "number" ? Base.plain(value) : value);
  const quoted = (path) => (/^[\w./:@%+=-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

  return { model, load, reset, update, soon, command, quoted };
})();
