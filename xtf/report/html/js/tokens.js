"use strict";
// One example as running text: every token an element of its own, noise marked by more than colour.
const Tokens = (() => {
  const { el } = Base;
  const LONGEST = 400;
  const MARK = /([↵⇥␀-␡]|<U\+[0-9A-F]{4,6}>)/;

  /** Text as the page shows it; the Python side has marked control characters already, except in plain tables. */
  function marked(text) {
    return text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
      .replace(/[\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (c) => `<U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);
  }

  function clipped(text, most = LONGEST) {
    const characters = text.length > most * 2 ? text.slice(0, most * 2) : text;
    const points = Array.from(characters);
    if (points.length <= most) return text;
    return `${points.slice(0, most).join("")}… (${Base.count(text.length)} characters)`;
  }

  /** A token's text as nodes: visible marks muted, spaces in elements so that they can be shown. */
  function pieces(text) {
    return text.split(MARK).filter(Boolean).flatMap((part) => {
      if (MARK.test(part) && part.replace(MARK, "") === "") return el("span", { class: "glyph" }, part);
      return part.split(/( )/).filter(Boolean).map((some) => (some === " " ? el("span", { class: "space" }, " ") : some));
    });
  }

  /** What stands for a token: its text, but "end of turn" in plain words for the mark that ends an answer. */
  function shownAs(data, t, isEnd) {
    const place = data.tokens[t], text = data.split(place)?.part > 1 ? el("span", { class: "glyph part" }, data.shown(place)) : pieces(clipped(data.shown(place)));
    return isEnd ? [el("span", { class: "raw" }, text), el("span", { class: "plainly" }, "end of turn")] : text;
  }

  /** Relative luminance as WCAG has it; below 0.179 white text has the greater contrast, at least 4.5:1. */
  function luminance({ r, g, b }) {
    const linear = [r, g, b].map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }

  const firstBit = (bits) => (bits ? 31 - Math.clz32(bits & -bits) : 0);

  /** The running text. `labels` may be other than as run; `differs(t)` marks tokens another run treats otherwise. */
  function build(data, e, labels, { colour, differs, prefix, label }) {
    const special = new Set(data.run.texts.special);
    const box = el("div", {
      class: "text", role: "listbox", tabindex: "0", "aria-label": label, "aria-orientation": "horizontal", id: `${prefix}text`,
    });
    let r = data.responseStarts[e];
    const nodes = [];
    for (const segment of Roles.segments(data, e)) {
      const { name } = segment;
      const group = el("div", { class: `segment ${segment.response ? "answer" : "prompt"}`, role: "group", "aria-label": name });
      group.append(el("span", { class: "turn", "aria-hidden": "true" }, name));
      const body = el("span", { class: "run" });
      for (let t = segment.from; t < segment.to; t += 1) {
        const place = data.tokens[t], isEnd = Boolean(data.response[t] && data.protected[r] && special.has(place));
        const node = el("span", { class: "token", role: "option", id: `${prefix}t${t - data.starts[e]}`, "data-token": t - data.starts[e], "aria-selected": "false" },
          shownAs(data, t, isEnd));
        node.place = { t, r: data.response[t] ? r : -1 };
        if (segment.response && !data.response[t]) node.classList.add("excluded");
        if (special.has(place)) node.classList.add("special");
        if (segment.template.has(t)) node.classList.add("template");
        if (data.response[t]) r += 1;
        if (differs?.(t)) node.classList.add("differs");
        nodes.push(node);
        body.append(node);
      }
      group.append(body);
      box.append(group);
    }
    const view = { box, nodes, data, e };
    paint(view, labels, colour);
    return view;
  }

  function background(node, shade) {
    node.classList.add("scaled");
    node.classList.toggle("light-text", luminance(shade) < 0.179);
    node.style.backgroundColor = shade.formatRgb();
  }

  /** Mark each token under `labels`: by verdict; by its percentile under an attribute; by the kind that it looks like. */
  function paint({ nodes, data }, labels, colour) {
    for (const node of nodes) {
      const { r, t } = node.place;
      node.classList.remove("noise", "line-0", "line-1", "line-2", "line-3", "line-4", "line-other", "scaled", "light-text", "kept-guard");
      node.style.backgroundColor = "";
      const name = clipped(data.alone(data.tokens[t]), 60) + (node.querySelector(".plainly") ? ", end of turn" : "");
      if (r < 0) { node.setAttribute("aria-label", `${name}, ${data.columns.rulings[t] ? "not learnt" : "prompt"}`); continue; }
      const noise = Boolean(labels.noise[r]);
      if (data.protected[r]) node.classList.add("protected");
      if (noise) node.classList.add("noise", labels.lacking[r] ? `line-${firstBit(labels.lacking[r]) % 5}` : "line-other");
      let said = data.protected[r] ? "always kept" : noise ? "masked" : "kept";
      if (node.classList.contains("differs")) said += ", differs between the runs";
      if (colour?.by === "kind" && Kinds.shown(data, labels, colour.bit, r)) {
        background(node, Kinds.colour(data, colour.bit, data.columns[`kind${colour.bit}`][r]));
        said += `, looks like ${Kinds.name(data, colour.bit, r)}`;
      } else if (colour?.by === "percentile") {
        const percentile = data.percentile(colour.bit, r);
        background(node, d3.color(d3.interpolateCividis(percentile / 100)));
        said += `, percentile ${percentile.toFixed(0)}`;
      }
      node.setAttribute("aria-label", `${name}, ${said}`);
    }
  }

  return { build, paint, pieces, marked, clipped };
})();
