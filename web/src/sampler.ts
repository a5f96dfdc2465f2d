// An instrument of the run, played as its SFZ says: zones, velocity layers that cross-fade, loops, turns, release, groups.
// Knows nothing of the document, and plays into an OfflineAudioContext as it does into a live one.

import { bytes, type InstrumentDocument, type Zone } from "./data";

export const POLYPHONY = 32;
const CHOKE_S = 0.006; // how fast a voice makes room: too slow for a click, too fast for a tail
const SILENCE = 0.001; // -60 dB, what `release_s` is measured to
const BEND_CENTS = 200;

export async function decodeSamples(ctx: BaseAudioContext, doc: InstrumentDocument): Promise<AudioBuffer[]> {
  return Promise.all(doc.samples.map((sample) => ctx.decodeAudioData(bytes(sample))));
}

/** How loud a zone is at a velocity: layers fade into each other over `width` velocities, and their sum stays 1. */
export function layerGain(zone: Zone, velocity: number, width: number): number {
  const half = Math.floor(width / 2);
  if (!half) return velocity >= zone.lo_velocity && velocity <= zone.hi_velocity ? 1 : 0;
  const fade = (from: number, to: number) => Math.min(1, Math.max(0, (velocity - from) / (to - from)));
  const rise = zone.lo_velocity > 1 ? fade(Math.max(1, zone.lo_velocity - half), Math.min(127, zone.lo_velocity + half)) : 1;
  const above = zone.hi_velocity + 1;
  const fall = zone.hi_velocity < 127 ? 1 - fade(Math.max(1, above - half), Math.min(127, above + half)) : 1;
  return rise * fall;
}

/** The zones that a stroke plays, with their gains. */
export function zonesFor(doc: InstrumentDocument, key: number, velocity: number, stroke: number): [Zone, number][] {
  const here = doc.zones.filter((zone) => zone.lo_key <= key && key <= zone.hi_key);
  const turns = here.reduce((most, zone) => Math.max(most, zone.seq_position), 1);
  const turn = (stroke % turns) + 1;
  return here
    .filter((zone) => zone.seq_position === turn)
    .map((zone): [Zone, number] => [zone, layerGain(zone, velocity, doc.velocity_crossfade)])
    .filter(([, gain]) => gain > 0);
}

class Voice {
  ends = Infinity;
  released = false;
  held = false; // by the pedal
  private letGo = Infinity;
  private letGoLevel = 1;
  readonly group: number;
  readonly oneShot: boolean;
  private readonly amp: GainNode;
  private readonly sources: AudioBufferSourceNode[] = [];

  constructor(
    private readonly ctx: BaseAudioContext,
    private readonly doc: InstrumentDocument,
    buffers: AudioBuffer[],
    layers: [Zone, number][],
    readonly key: number,
    velocity: number,
    readonly starts: number,
    bend: number,
    destination: AudioNode,
    done: (voice: Voice) => void,
  ) {
    this.group = layers[0][0].exclusive_class;
    this.oneShot = layers[0][0].one_shot;
    this.amp = new GainNode(ctx, { gain: 0 });
    this.amp.connect(destination);
    for (const [zone, gain] of layers) this.layer(zone, buffers[zone.sample], gain * (velocity / 127) ** 2, bend);
    this.envelope();
    this.sources[0].onended = () => {
      this.amp.disconnect();
      done(this);
    };
  }

  private layer(zone: Zone, buffer: AudioBuffer, gain: number, bend: number): void {
    const rate = this.doc.sample_rate;
    const source = new AudioBufferSourceNode(this.ctx, {
      buffer,
      playbackRate: 2 ** ((this.key - zone.root_key + zone.tune_cents / 100) / 12),
      detune: bend * BEND_CENTS,
    });
    if (zone.loop_start !== undefined && zone.loop_end !== undefined) {
      source.loop = true;
      source.loopStart = zone.loop_start / rate;
      source.loopEnd = (zone.loop_end + 1) / rate; // ours is the last frame of the loop, WebAudio's the first behind it
    } else {
      const lasts = (buffer.duration - this.doc.lead_frames / rate) / source.playbackRate.value;
      this.ends = Math.min(this.ends, this.starts + lasts);
    }
    let node: AudioNode = source;
    // WebAudio takes a low-pass's Q in dB: -3.01 is 1/sqrt 2, as in the SFZ and the SF2.
    if (zone.cutoff_hz) node = node.connect(new BiquadFilterNode(this.ctx, { type: "lowpass", frequency: zone.cutoff_hz, Q: -3.0103 }));
    node.connect(new GainNode(this.ctx, { gain })).connect(this.amp);
    source.start(this.starts, this.doc.lead_frames / rate);
    this.sources.push(source);
  }

  private envelope(): void {
    const { attack_s, decay_s, sustain } = this.doc.envelope;
    const gain = this.amp.gain;
    if (attack_s > 0) {
      gain.setValueAtTime(0, this.starts);
      gain.linearRampToValueAtTime(1, this.starts + attack_s);
    } else gain.setValueAtTime(1, this.starts);
    if (decay_s > 0 && sustain < 1) gain.exponentialRampToValueAtTime(Math.max(sustain, 1e-4), this.starts + attack_s + decay_s);
  }

  /** The envelope at a time: its value, and the shape of the line that it is on. */
  private at(when: number): [level: number, shape: "linear" | "exponential" | "flat"] {
    const { attack_s, decay_s, sustain, release_s } = this.doc.envelope;
    if (when > this.letGo) return [this.letGoLevel * SILENCE ** ((when - this.letGo) / release_s), "exponential"];
    const since = when - this.starts;
    if (since < attack_s) return [Math.max(SILENCE, since / attack_s), "linear"];
    const falls = decay_s > 0 && sustain < 1;
    if (falls && since < attack_s + decay_s) return [Math.max(sustain, 1e-4) ** ((since - attack_s) / decay_s), "exponential"];
    return [falls ? Math.max(sustain, 1e-4) : 1, "flat"];
  }

  /** End the envelope's line at a time, so that another one can begin there; gives the level. */
  private holdAt(when: number): number {
    const gain = this.amp.gain;
    const [level, shape] = this.at(when);
    if (gain.cancelAndHoldAtTime) gain.cancelAndHoldAtTime(when);
    else {
      gain.cancelScheduledValues(when);
      // The line that was cancelled is drawn again, up to here.
      if (shape === "linear") gain.linearRampToValueAtTime(level, when);
      else if (shape === "exponential") gain.exponentialRampToValueAtTime(level, when);
    }
    // A new line begins where the last one ended, which for a held note is long ago, unless a point is set.
    if (shape === "flat") gain.setValueAtTime(level, when);
    return level;
  }

  release(when: number): void {
    if (this.released || this.oneShot) return;
    this.released = true;
    const { release_s } = this.doc.envelope;
    const at = Math.max(when, this.starts + 0.001);
    const level = this.holdAt(at);
    [this.letGo, this.letGoLevel] = [at, level];
    this.amp.gain.exponentialRampToValueAtTime(level * SILENCE, at + release_s);
    this.stop(at + release_s);
  }

  choke(when: number): void {
    const at = Math.max(when, this.starts + 0.001);
    if (this.ends <= at) return;
    this.released = true;
    this.holdAt(at);
    this.amp.gain.linearRampToValueAtTime(0, at + CHOKE_S);
    this.stop(at + CHOKE_S);
  }

  bend(amount: number, when: number): void {
    for (const source of this.sources) source.detune.setTargetAtTime(amount * BEND_CENTS, when, 0.005);
  }

  private stop(when: number): void {
    this.ends = Math.min(this.ends, when);
    for (const source of this.sources) source.stop(when);
  }
}

export class Sampler {
  private voices: Voice[] = [];
  private readonly strokes = new Map<number, number>();
  private readonly output: AudioNode;
  private pedal = false;
  private bent = 0;

  constructor(
    private readonly ctx: BaseAudioContext,
    readonly doc: InstrumentDocument,
    private readonly buffers: AudioBuffer[],
    destination: AudioNode,
  ) {
    const level = new GainNode(ctx, { gain: doc.role === "drums" ? 1 : 2 });
    level.connect(new StereoPannerNode(ctx, { pan: 0.4 * doc.pan })).connect(destination);
    this.output = level;
  }

  /** Voices that sound at a time and do not make room for another already. */
  sounding(when: number): number {
    return this.voices.filter((voice) => voice.starts <= when && voice.ends > when + CHOKE_S).length;
  }

  noteOn(key: number, velocity: number, when = this.ctx.currentTime): void {
    const stroke = this.strokes.get(key) ?? 0;
    const layers = zonesFor(this.doc, key, velocity, stroke);
    if (!layers.length) return;
    this.strokes.set(key, stroke + 1);
    const group = layers[0][0].exclusive_class;
    for (const voice of this.voices) {
      if (group && voice.group === group) voice.choke(when);
      else if (voice.key === key && !voice.oneShot) voice.release(when);
    }
    this.makeRoom(when);
    const done = (voice: Voice) => {
      this.voices = this.voices.filter((other) => other !== voice);
    };
    this.voices.push(
      new Voice(this.ctx, this.doc, this.buffers, layers, key, velocity, when, this.bent, this.output, done),
    );
  }

  /** The oldest voice that was let go, or else the oldest, makes room when all are taken. */
  private makeRoom(when: number): void {
    const sounding = this.voices.filter((voice) => voice.ends > when + CHOKE_S);
    for (let over = sounding.length - POLYPHONY + 1; over > 0; over--) {
      const victim = sounding.find((voice) => voice.released) ?? sounding[0];
      victim.choke(when);
      sounding.splice(sounding.indexOf(victim), 1);
    }
  }

  noteOff(key: number, when = this.ctx.currentTime): void {
    for (const voice of this.voices) {
      if (voice.key !== key || voice.released) continue;
      if (this.pedal) voice.held = true;
      else voice.release(when);
    }
  }

  sustain(down: boolean, when = this.ctx.currentTime): void {
    this.pedal = down;
    if (down) return;
    for (const voice of this.voices) if (voice.held) voice.release(when);
  }

  /** Pitch bend, -1..1 of two semitones. */
  bend(amount: number, when = this.ctx.currentTime): void {
    this.bent = amount;
    for (const voice of this.voices) voice.bend(amount, when);
  }

  silence(when = this.ctx.currentTime): void {
    for (const voice of this.voices) voice.choke(when);
  }
}
