"use strict";
// What compared runs say of the same example: which tokens they do not treat alike.
const Differences = (() => {
  /** The verdicts on each token of example `e` of the first run, under each run that has it: 1 masked, 0 kept, 2 prompt. */
  function verdicts(model, id) {
    return model.datas.map((data, i) => {
      const e = data.places.get(id);
      if (e === undefined) return null;
      const noise = i === 0 ? model.labels.noise : data.noise, found = [];
      let r = data.responseStarts[e];
      for (let t = data.starts[e]; t < data.starts[e + 1]; t += 1) found.push(data.response[t] ? noise[r++] : 2);
      return found;
    }).filter(Boolean);
  }

  /** A function that says whether the runs differ on the token at a place of the example. */
  function of(model, id) {
    const rows = verdicts(model, id);
    return (place) => rows.some((row) => row.length !== rows[0].length || row[place] !== rows[0][place]);
  }

  /** Tokens of an example on which the runs differ. */
  function count(model, id) {
    const differs = of(model, id), data = model.datas[0], e = data.places.get(id);
    let found = 0;
    for (let place = 0; place < data.starts[e + 1] - data.starts[e]; place += 1) found += differs(place) ? 1 : 0;
    return found;
  }

  return { of, count };
})();
