"use strict";
// Turns of a conversation: whose they are, and which tokens are only the template's.
const Roles = (() => {
  const NAMES = {
    system: "system", developer: "developer", user: "user", human: "user", assistant: "assistant", model: "assistant",
    tool: "tool", function: "tool", ipython: "tool", observation: "tool",
  };
  const ROLES = Object.keys(NAMES);

  /** Stretches of an example: `{ name, response, from, to, template }`, where `template` holds the header's tokens. */
  function segments(data, e) {
    data.isSpecial ??= new Set(data.run.texts.special);
    const found = [], end = data.starts[e + 1];
    let answers = 0;
    for (let t = data.starts[e]; t < end;) {
      if (learnable(data, t)) {
        const stop = until(t, end, (i) => !learnable(data, i));
        answers += 1;
        found.push({ name: answers > 1 ? `response ${answers}` : "response", response: true, from: t, to: stop, template: new Set() });
        t = stop;
        continue;
      }
      const stop = until(t, end, (i) => learnable(data, i));
      for (const part of turns(data, t, stop)) {
        const last = found.at(-1);
        if (last && part.empty) { // a line break between two turns is no turn of its own
          for (let i = part.from; i < part.to; i += 1) part.template.add(i);
          join(last, part);
        } else found.push(part);
      }
      t = stop;
    }
    return found;
  }

  const learnable = (data, t) => Boolean(data.response[t] || data.columns.rulings[t]);

  function until(from, end, stops) {
    let t = from;
    while (t < end && !stops(t)) t += 1;
    return t;
  }

  /** The turns of a stretch that is not learnt, cut where the template names another role. */
  function turns(data, from, stop) {
    const found = [];
    let open = { name: "prompt", response: false, from, to: from, template: new Set(), empty: true };
    for (let t = from; t < stop;) {
      const head = header(data, t, stop);
      if (head.role && (head.before > open.from || !open.empty || found.length)) {
        const cut = open.empty && !found.length ? t : head.opener; // what ends the turn before is that turn's
        for (let i = t; i < cut; i += 1) open.template.add(i);
        open.to = cut;
        if (open.to > open.from) found.push(open);
        open = { name: head.role, response: false, from: cut, to: cut, template: new Set(), empty: true };
      } else if (head.role) open.name = head.role;
      for (let i = Math.max(t, open.from); i < head.to; i += 1) open.template.add(i);
      if (head.to > t) { t = head.to; continue; }
      if (data.text(data.tokens[t]).trim()) open.empty = false;
      t += 1;
    }
    open.to = stop;
    if (open.name === "assistant" && open.empty && found.length) join(found.at(-1), open); // the answer has its own heading
    else found.push(open);
    return found;
  }

  function join(turn, more) {
    turn.to = more.to;
    for (const t of more.template) turn.template.add(t);
  }

  /** Special tokens from `t` on, with a role between or behind them; `to` is `t` where there are none, and `opener` the
   *  last special token before the role. */
  function header(data, t, stop) {
    const special = (i) => i < stop && data.isSpecial.has(data.tokens[i]);
    const blank = (i) => i < stop && !special(i) && !data.text(data.tokens[i]).trim();
    if (!special(t)) return { to: t, before: t, role: null };
    let to = t;
    while (special(to) || blank(to)) to += 1;
    const before = to, word = named(data, before, until(before, stop, special));
    if (!word || !(special(word.to) || blank(word.to) || data.text(data.tokens[Math.min(word.to, stop - 1)]).startsWith("\n"))) return { to, before, role: null };
    let opener = before - 1;
    while (!special(opener)) opener -= 1;
    to = word.to;
    while (special(to) || blank(to)) to += 1;
    return { to, before, opener, role: word.role };
  }

  /** The role that one token or several from `from` on spell, and where they end; null where they spell none. */
  function named(data, from, stop) {
    let text = "";
    for (let t = from; t < stop; t += 1) {
      text += data.text(data.tokens[t]);
      const word = text.trim().toLowerCase();
      if (Object.hasOwn(NAMES, word)) return { role: NAMES[word], to: t + 1 };
      if (!ROLES.some((role) => role.startsWith(word))) return null;
    }
    return null;
  }

  return { segments };
})();
