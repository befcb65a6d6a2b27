"use strict";
// The other half of xtf/report/html/encode.py: base64 -> gzip -> byte planes -> typed arrays; sentences.
const Decode = (() => {
  const KINDS = { f4: Float32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };

  async function bytes(text) {
    const raw = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function columns(packed) {
    const data = await bytes(packed.data);
    const found = {};
    let at = 0;
    for (const [name, kind, length] of packed.columns) {
      const width = KINDS[kind].BYTES_PER_ELEMENT;
      const whole = new Uint8Array(length * width);
      for (let plane = 0; plane < width; plane += 1)
        for (let i = 0, from = at + plane * length; i < length; i += 1) whole[i * width + plane] = data[from + i];
      found[name] = new KINDS[kind](whole.buffer);
      at += length * width;
    }
    return found;
  }

  const keyFloat = new Float32Array(1);
  const keyBits = new Uint32Array(keyFloat.buffer);

  /** The histogram bin of a score: the 20 leading bits of an order-preserving key (xtf.labelling.distribution.ordered_keys). */
  function bin(score) {
    keyFloat[0] = score + 0;
    const bits = keyBits[0];
    return ((bits ^ (bits >>> 31 ? 0xffffffff : 0x80000000)) >>> 0) >>> 12;
  }

  /** One run's embedded examples. Scores, lacking and noise are held for response tokens only. */
  class Data {
    constructor(run, packed) {
      this.run = run;
      this.names = run.rules.attributes;
      this.count = run.ids.length;
      this.tokens = packed.tokens;
      this.response = packed.response;
      this.lacking = packed.lacking;
      this.noise = packed.noise;
      this.unguarded = packed.unguarded;
      this.columns = packed;
      this.scores = this.names.map((_, bit) => packed[`score${bit}`]);
      this.bins = this.names.map((_, bit) => runningSum(packed[`bins${bit}`]));
      this.starts = new Uint32Array(this.count + 1);
      this.responseStarts = new Uint32Array(this.count + 1);
      this.protected = new Uint8Array(this.noise.length);
      let r = 0;
      for (let e = 0; e < this.count; e += 1) {
        const stop = this.starts[e] + packed.sizes[e];
        for (let t = this.starts[e]; t < stop; t += 1) if (this.response[t]) this.protected[r++] = packed.protected[t];
        this.starts[e + 1] = stop;
        this.responseStarts[e + 1] = r;
      }
      this.chunks = new Map();
    }

    /** Corpus percentile of response token `r` under attribute `bit`, as Python has it. */
    percentile(bit, r) { return this.columns[`percentiles${bit}`][this.place(bit, r)]; }
    /** The same, counted from the end that lacks. */
    severity(bit, r) { return this.columns[`severity${bit}`][this.place(bit, r)]; }

    place(bit, r) {
      const bins = this.bins[bit], wanted = bin(this.scores[bit][r]);
      let low = 0, high = bins.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (bins[middle] < wanted) low = middle + 1;
        else high = middle;
      }
      return low;
    }

    text(place) { return this.run.texts.texts[place]; }
    shown(place) { return this.run.texts.shown[place] ?? this.run.texts.texts[place]; }
    named(place) { return this.run.texts.named[place] ?? `'${this.run.texts.texts[place]}'`; }
    /** Of a token that spells a character with others: `{ part, parts, bytes, whole }`; else null. */
    split(place) {
      const found = this.run.texts.parts[place];
      return found ? { part: found[0], parts: found[1], bytes: found[2], whole: found[3] } : null;
    }
    /** What a token adds to a text without marks of its own: of a character's tokens the first gives it. */
    plain(place) { return (this.split(place)?.part ?? 1) > 1 ? "" : this.shown(place); }
    /** A token's text where it stands by itself. */
    alone(place) {
      const split = this.split(place);
      return split ? `${split.whole} (${split.part}/${split.parts})` : this.shown(place);
    }
    title(e) { return this.run.shownIds[e] ?? this.run.ids[e]; }

    /** What Python says of each response token of example `e`. */
    async words(e) {
      const { chunk, chunks } = this.run.explanations;
      const at = Math.floor(e / chunk);
      if (!this.chunks.has(at))
        this.chunks.set(at, bytes(chunks[at]).then((data) => JSON.parse(new TextDecoder().decode(data))));
      const { texts, examples } = await this.chunks.get(at);
      const found = examples[e % chunk];
      if (!found.tokens) found.tokens = this.sentences(e, found, texts);
      return { cuts: found.cuts, intervals: found.intervals.map(Trials.open), tokens: found.tokens };
    }

    sentences(e, found, texts) {
      const places = [];
      for (let t = this.starts[e]; t < this.starts[e + 1]; t += 1) if (this.response[t]) places.push(this.tokens[t]);
      return places.map((place, i) => ({
        sentence: texts[found.sentences[i]].replace("\u0001", () => this.named(place)),
        flip: texts[found.flips[i]],
        rule: texts[found.rules[i]],
        meanings: found.meanings.map((column) => texts[column[i]]),
      }));
    }
  }

  function runningSum(steps) {
    const sums = new Uint32Array(steps.length);
    let total = 0;
    for (let i = 0; i < steps.length; i += 1) sums[i] = total += steps[i];
    return sums;
  }

  const open = async (run) => new Data(run, await columns(run.columns));
  return { open, bytes, columns };
})();
