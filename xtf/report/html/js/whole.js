"use strict";
// The whole at a glance: one row an example, one cell a token, the rows with most masked first; and what recurs.
const Whole = (() => {
  const { el } = Base;
  const ROW = 9, GAP = 2, LABEL = 44;

  function build(model) {
    const { data } = model, state = { order: [], at: null, stale: true };
    const order = el("select", { id: "whole-order" }, [["most", "share masked"], ["corpus", "data order"], ["longest", "longest"]].map(([value, text]) => el("option", { value }, text)));
    const canvas = el("canvas", { "aria-hidden": "true" }), room = el("div", { class: "whole-room" }, canvas);
    const view = el("div", { class: "whole-view", id: "whole", tabindex: "0", role: "group", "aria-label": "Examples as rows, tokens as cells. Arrow keys move, Enter opens." }, room);
    const said = el("p", { class: "quiet", role: "status", id: "whole-said" }), legend = el("p", { class: "legend" }), phrases = el("div", { id: "phrases" });

    const size = (e) => data.starts[e + 1] - data.starts[e];
    function share(e) {
      const from = data.responseStarts[e], to = data.responseStarts[e + 1];
      let masked = 0;
      for (let r = from; r < to; r += 1) masked += model.labels.noise[r];
      return masked / Math.max(to - from, 1);
    }

    /** Sort the rows and look for phrases; only when somebody looks. */
    function refresh() {
      if (view.offsetParent === null) { state.stale = true; return; }
      state.stale = false;
      const shares = data.run.ids.map((_, e) => share(e));
      state.shares = shares;
      state.longest = Math.max(1, ...data.run.ids.map((_, e) => size(e)));
      const by = { most: (a, b) => shares[b] - shares[a], longest: (a, b) => size(b) - size(a), corpus: () => 0 }[order.value];
      state.order = data.run.ids.map((_, e) => e).sort((a, b) => by(a, b) || a - b);
      room.style.height = `${state.order.length * ROW}px`;
      view.style.height = `${state.order.length * ROW + 2}px`; // with its border; the style sheet says how high at most
      Base.replace(phrases, Clusters.table(model, Clusters.find(model)));
      describe(null);
      draw();
    }

    const colours = () => {
      const style = getComputedStyle(document.documentElement), of = (name) => style.getPropertyValue(name).trim();
      return { prompt: of("--soft"), kept: of("--bar"), protected: of("--accent"), ink: of("--muted"), focus: of("--focus"), other: of("--mark-other"), masked: d3.range(5).map((i) => of(`--mark-${i}`)) };
    };
    const cell = () => Math.max(1, Math.min(10, (view.clientWidth - LABEL) / state.longest));

    function draw() {
      const width = view.clientWidth, height = view.clientHeight, scale = devicePixelRatio || 1, top = view.scrollTop;
      canvas.width = width * scale;
      canvas.height = height * scale;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      canvas.style.transform = `translateY(${top}px)`;
      const pen = canvas.getContext("2d"), colour = colours(), step = cell();
      pen.scale(scale, scale);
      pen.font = "9px system-ui, sans-serif";
      pen.textBaseline = "middle";
      for (let place = Math.floor(top / ROW); place < state.order.length && place * ROW < top + height; place += 1) {
        const e = state.order[place], y = place * ROW - top;
        pen.fillStyle = colour.ink;
        pen.fillText(Base.percent(state.shares[e], 0), 2, y + ROW / 2);
        for (let t = data.starts[e], r = data.responseStarts[e]; t < data.starts[e + 1]; t += 1) {
          pen.fillStyle = shade(colour, t, r);
          pen.fillRect(LABEL + (t - data.starts[e]) * step, y, Math.max(step - (step > 3 ? 0.5 : 0), 0.6), ROW - GAP);
          if (data.response[t]) r += 1;
        }
        if (state.at?.place === place) {
          pen.strokeStyle = colour.focus;
          pen.lineWidth = 2;
          pen.strokeRect(LABEL + state.at.token * step - 1, y - 1, Math.max(step, 3) + 1, ROW - GAP + 2);
        }
      }
    }

    function shade(colour, t, r) {
      if (!data.response[t]) return colour.prompt;
      if (data.protected[r]) return colour.protected;
      if (!model.labels.noise[r]) return colour.kept;
      const bits = model.labels.lacking[r];
      return bits ? colour.masked[(31 - Math.clz32(bits & -bits)) % 5] : colour.other;
    }

    /** The row and token under a point of the view. */
    function under(event) {
      const box = view.getBoundingClientRect();
      const place = Math.floor((event.clientY - box.top + view.scrollTop) / ROW), e = state.order[place];
      if (e === undefined) return null;
      const token = Math.floor((event.clientX - box.left - LABEL) / cell());
      return { place, e, token: Math.min(Math.max(token, 0), size(e) - 1) };
    }

    function describe(at) {
      state.at = at;
      if (!at) { said.textContent = `${Base.plural(data.count, "example")}; click a token to read it.`; return; }
      const t = data.starts[at.e] + at.token;
      const r = d3.sum(d3.range(data.starts[at.e], t), (i) => data.response[i]) + data.responseStarts[at.e];
      const verdict = !data.response[t] ? "prompt" : data.protected[r] ? "always kept" : model.labels.noise[r] ? "masked" : "kept";
      said.textContent = `${Tokens.clipped(data.title(at.e), 60)}, ${Base.percent(state.shares[at.e], 0)} masked: ${Tokens.clipped(data.alone(data.tokens[t]), 40)} (${verdict})`;
    }

    const open = (at) => Base.emit("read", { e: at.e, token: at.token });
    view.addEventListener("click", (event) => { const at = under(event); if (at) open(at); });
    view.addEventListener("mousemove", Base.eachFrame(() => draw()));
    view.addEventListener("mousemove", (event) => describe(under(event)));
    view.addEventListener("mouseleave", () => { describe(null); draw(); });
    view.addEventListener("scroll", Base.eachFrame(draw), { passive: true });
    view.addEventListener("keydown", (event) => {
      const at = state.at ?? { place: 0, token: 0 };
      const [rows, tokens] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], PageDown: [20, 0], PageUp: [-20, 0] }[event.key] ?? [0, 0];
      if (event.key === "Enter" && state.at) { open(state.at); return; }
      if (!rows && !tokens) return;
      event.preventDefault();
      const place = Math.min(Math.max(at.place + rows, 0), state.order.length - 1), e = state.order[place];
      describe({ place, e, token: Math.min(Math.max(at.token + tokens, 0), size(e) - 1) });
      view.scrollTop = Math.min(Math.max(view.scrollTop, (place + 1) * ROW - view.clientHeight), place * ROW);
      draw();
    });
    order.addEventListener("change", refresh);
    Base.on("labels", refresh);
    Base.on("resize", () => { if (!state.stale) draw(); });
    Base.on("view", (name) => { if (name === "whole" && state.stale) refresh(); });
    const words = data.run.figures.words, swatch = (name, text) => [el("span", { class: `cell ${name}` }), ` ${text} `];
    Base.append(legend, [swatch("prompt", words.prompt), swatch("kept", words.kept), swatch("always", words.protected),
      ` · ${words.masked}`, " ", data.names.map((name, bit) => swatch(`fill line-${bit % 5}`, Base.spoken(name))),
      data.noise.some((one, r) => one && !data.lacking[r]) ? [" · ", swatch("fill line-other", words.otherwise)] : null]);
    return el("div", { class: "whole" },
      Overview.section("Every token", "One row an example, one cell a token.", el("div", { class: "tools" }, el("label", { class: "filter" }, el("span", {}, "sort by"), order)), legend, view, said),
      Overview.section("What is masked again and again", "Runs of up to four response tokens that are masked together three times or more; a character of several tokens counts as one.", phrases));
  }

  return { build };
})();
