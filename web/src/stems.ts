// The song's stems, in stretches: each stretch of all stems starts at one time, so they are in step to the sample.
// Knows nothing of the document's elements, and plays into an OfflineAudioContext as it does into a live one.

import { bytes, media, type Song } from "./data";

const AHEAD_S = 0.03;

type Stretch = Map<string, AudioBuffer>;

/** Gains of the parts, joined into one output. */
export class Desk {
  readonly inputs = new Map<string, GainNode>();
  private readonly mutes = new Set<string>();
  private readonly solos = new Set<string>();
  private readonly levels = new Map<string, number>();

  constructor(
    private readonly ctx: BaseAudioContext,
    parts: string[],
    destination: AudioNode,
  ) {
    for (const part of parts) {
      const gain = new GainNode(ctx);
      gain.connect(destination);
      this.inputs.set(part, gain);
      this.levels.set(part, 1);
    }
  }

  /** What a part is multiplied by; the room, too, is silent while another plays alone. */
  gain(part: string): number {
    if (this.mutes.has(part) || (this.solos.size && !this.solos.has(part))) return 0;
    return this.levels.get(part)!;
  }

  set(part: string, change: { mute?: boolean; solo?: boolean; level?: number }): void {
    if (change.mute !== undefined) change.mute ? this.mutes.add(part) : this.mutes.delete(part);
    if (change.solo !== undefined) change.solo ? this.solos.add(part) : this.solos.delete(part);
    if (change.level !== undefined) this.levels.set(part, change.level);
    this.apply();
  }

  private apply(): void {
    for (const [part, node] of this.inputs) node.gain.setTargetAtTime(this.gain(part), this.ctx.currentTime, 0.008);
  }

  /** Take the gains at once, before anything sounds. */
  settle(): void {
    for (const [part, node] of this.inputs) node.gain.value = this.gain(part);
  }
}

export async function decodeStretch(ctx: BaseAudioContext, song: Song, index: number): Promise<Stretch> {
  const texts = await media<Record<string, string>>(song.chunks[index], false);
  const parts = Object.entries(texts).filter(([, text]) => text);
  const buffers = await Promise.all(parts.map(([, text]) => ctx.decodeAudioData(bytes(text))));
  return new Map(parts.map(([part], which) => [part, buffers[which]]));
}

/** Start all parts of a stretch at one time, from `offset_s` on. */
export function startStretch(ctx: BaseAudioContext, stretch: Stretch, desk: Desk, when: number, offset_s: number): AudioBufferSourceNode[] {
  return [...stretch].flatMap(([part, buffer]) => {
    const input = desk.inputs.get(part);
    if (!input || offset_s >= buffer.duration) return [];
    const source = new AudioBufferSourceNode(ctx, { buffer });
    source.connect(input);
    source.start(when, offset_s);
    return [source];
  });
}

export class StemPlayer {
  playing = false;
  waiting = false;
  private from_s = 0; // the song's time when `base` comes
  private base = 0;
  private take = 0; // raised by each play and stop: what belongs to an earlier take ends
  private sources: AudioBufferSourceNode[] = [];
  private readonly kept = new Map<number, Promise<Stretch>>();

  constructor(
    private readonly ctx: AudioContext,
    readonly song: Song,
    private readonly desk: Desk,
    private readonly changed: () => void,
  ) {}

  private get stretch_s(): number {
    return this.song.chunk_frames / this.song.sample_rate;
  }

  get position(): number {
    if (!this.playing || this.waiting) return this.from_s;
    const heard = this.ctx.currentTime - (this.ctx.outputLatency || 0) - this.base;
    return Math.min(this.song.duration_s, this.from_s + Math.max(0, heard));
  }

  /** Decode a stretch, and forget those that are far from it: a long song stays small in memory. */
  private load(index: number): Promise<Stretch> {
    for (const other of this.kept.keys()) if (Math.abs(other - index) > 2) this.kept.delete(other);
    let loading = this.kept.get(index);
    if (!loading) {
      loading = decodeStretch(this.ctx, this.song, index);
      this.kept.set(index, loading);
      loading.catch(() => this.kept.delete(index));
    }
    return loading;
  }

  /** Have the beginning ready before it is asked for. */
  prepare(): void {
    void this.load(Math.floor(this.from_s / this.stretch_s)).catch(() => undefined);
  }

  async play(): Promise<void> {
    if (this.playing) return;
    if (this.from_s >= this.song.duration_s - 0.05) this.from_s = 0;
    this.playing = this.waiting = true;
    const take = ++this.take;
    this.changed();
    try {
      await this.run(take);
    } catch (error) {
      if (take === this.take) this.pause();
      throw error;
    }
  }

  private async run(take: number): Promise<void> {
    const first = Math.floor(this.from_s / this.stretch_s);
    for (let index = first; index < this.song.chunks.length; index++) {
      const stretch = await this.load(index);
      if (take !== this.take) return;
      const begins = Math.max(this.from_s, index * this.stretch_s);
      const when = this.due(begins);
      const started = startStretch(this.ctx, stretch, this.desk, when, begins - index * this.stretch_s);
      for (const source of started) source.onended = () => (this.sources = this.sources.filter((other) => other !== source));
      this.sources.push(...started);
      if (index + 1 < this.song.chunks.length) void this.load(index + 1).catch(() => undefined);
      await this.until(take, when);
      if (take !== this.take) return;
    }
    await this.until(take, this.base + this.song.duration_s - this.from_s);
    if (take === this.take) this.finish();
  }

  /** When the song's time `begins` is to sound; where loading took too long, all that follows moves back together. */
  private due(begins: number): number {
    const when = this.base + begins - this.from_s;
    if (!this.waiting && when > this.ctx.currentTime) return when;
    const frames = Math.ceil((this.ctx.currentTime + AHEAD_S) * this.ctx.sampleRate);
    this.base = frames / this.ctx.sampleRate;
    this.from_s = begins;
    this.waiting = false;
    this.changed();
    return this.base;
  }

  private async until(take: number, time: number): Promise<void> {
    while (take === this.take && this.ctx.currentTime < time) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(250, 1000 * (time - this.ctx.currentTime) + 5)));
    }
  }

  private finish(): void {
    this.pause();
    this.from_s = 0;
    this.changed();
  }

  pause(): void {
    this.from_s = this.position;
    this.take++;
    this.playing = this.waiting = false;
    for (const source of this.sources) source.stop();
    this.sources = [];
    this.changed();
  }

  seek(seconds: number): void {
    const again = this.playing;
    if (again) this.pause();
    // On a sample, so that stretches still join without a seam.
    const rate = this.song.sample_rate;
    this.from_s = Math.min(this.song.duration_s, Math.max(0, Math.round(seconds * rate) / rate));
    this.changed();
    if (again) void this.play();
  }
}
