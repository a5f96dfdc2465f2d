// Two songs on one clock: both play all the time at one position, and one of them is heard. Knows nothing of the page's elements.

import { openSound, type Sound } from "./wav";

const AHEAD_S = 0.05;
const FADE_S = 0.004; // time constant of the change from one to the other: no click, and nobody hears it as a fade

export type Slot = 0 | 1;

export interface Song {
  url: string;
  duration_s: number;
  loudness_lufs: number | null;
}

/** What each song is multiplied by so that both are as loud as the quieter one: nothing is ever made louder, so nothing clips. */
export function matchedGains(songs: readonly (Song | undefined)[]): number[] {
  const known = songs.map((song) => (Number.isFinite(song?.loudness_lufs) ? (song!.loudness_lufs as number) : undefined));
  const both = known.filter((level) => level !== undefined);
  if (both.length < 2) return songs.map(() => 1);
  const quietest = Math.min(...both);
  return known.map((level) => 10 ** ((quietest - (level ?? quietest)) / 20));
}

/** One song's way to the loudspeakers. */
class Lane {
  private sound?: Promise<Sound>;
  private sources: AudioBufferSourceNode[] = [];
  readonly gain: GainNode;

  constructor(
    private readonly ctx: AudioContext,
    readonly song: Song,
  ) {
    this.gain = new GainNode(ctx, { gain: 0 });
    this.gain.connect(ctx.destination);
  }

  open(): Promise<Sound> {
    this.sound ??= openSound(this.ctx, this.song.url, this.song.duration_s);
    this.sound.catch(() => (this.sound = undefined));
    return this.sound;
  }

  /** The first piece from a position, ready before it is asked for. */
  async prepare(from_s: number): Promise<void> {
    if (from_s >= this.song.duration_s) return;
    const sound = await this.open();
    await sound.piece(Math.floor(from_s / sound.stretch_s));
  }

  /** Play on the clock: the song's second `s` sounds at `zero + s`. What comes too late begins where the clock is by then. */
  async run(zero: number, from_s: number, wanted: () => boolean): Promise<void> {
    const sound = await this.open();
    const rate = this.ctx.sampleRate;
    for (let index = Math.floor(from_s / sound.stretch_s); index * sound.stretch_s < this.song.duration_s; index++) {
      const piece = await sound.piece(index);
      if (!wanted()) return;
      const end_s = Math.min((index + 1) * sound.stretch_s, piece.at_s + piece.buffer.duration);
      const earliest = Math.ceil((this.ctx.currentTime + AHEAD_S / 2 - zero) * rate) / rate;
      const begin_s = Math.max(from_s, index * sound.stretch_s, earliest);
      if (begin_s < end_s) this.start(piece.buffer, zero + begin_s, begin_s - piece.at_s, end_s - begin_s);
      const next = index + 1;
      if (next * sound.stretch_s < this.song.duration_s) void sound.piece(next).catch(() => undefined);
      while (wanted() && this.ctx.currentTime < zero + begin_s) await pause(1000 * (zero + begin_s - this.ctx.currentTime));
      if (!wanted()) return;
    }
  }

  private start(buffer: AudioBuffer, when: number, offset_s: number, seconds: number): void {
    const source = new AudioBufferSourceNode(this.ctx, { buffer });
    source.connect(this.gain);
    source.onended = () => (this.sources = this.sources.filter((other) => other !== source));
    source.start(when, offset_s, seconds);
    this.sources.push(source);
  }

  stop(): void {
    for (const source of this.sources) source.stop();
    this.sources = [];
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, Math.min(250, milliseconds + 5)));

export class PairPlayer {
  playing = false;
  waiting = false;
  heard: Slot = 0;
  private lanes: (Lane | undefined)[] = [undefined, undefined];
  private from_s = 0;
  private zero = 0; // the context's time at which second 0 of both songs sounds
  private take = 0; // raised by each play and stop: what belongs to an earlier take ends
  private ctx?: AudioContext;

  constructor(
    private readonly context: () => AudioContext,
    private readonly changed: () => void,
    private readonly failed: (error: Error) => void,
  ) {}

  get songs(): (Song | undefined)[] {
    return this.lanes.map((lane) => lane?.song);
  }

  get duration_s(): number {
    return Math.max(0, ...this.lanes.map((lane) => lane?.song.duration_s ?? 0));
  }

  get position_s(): number {
    if (!this.playing || this.waiting) return this.from_s;
    const now = this.ctx!.currentTime - (this.ctx!.outputLatency || 0) - this.zero;
    return Math.min(this.duration_s, Math.max(this.from_s, now));
  }

  get gains(): number[] {
    return matchedGains(this.songs);
  }

  /** Put a song into a slot, or take it out; what plays goes on at the same position. */
  put(slot: Slot, song: Song | undefined): void {
    if (this.lanes[slot]?.song.url === song?.url) return;
    const again = this.playing;
    this.halt();
    this.ctx ??= this.context();
    this.lanes[slot]?.gain.disconnect();
    this.lanes[slot] = song && new Lane(this.ctx, song);
    if (!this.lanes[this.heard]) this.heard = this.lanes[0] ? 0 : 1;
    if (this.from_s > this.duration_s) this.from_s = 0;
    this.level();
    this.changed();
    if (again && this.duration_s) void this.play();
  }

  /** Hear the other one, at once. */
  hear(slot: Slot): void {
    if (!this.lanes[slot]) return;
    this.heard = slot;
    this.level();
    this.changed();
  }

  private level(): void {
    const gains = this.gains;
    this.lanes.forEach((lane, slot) => {
      const wanted = slot === this.heard ? gains[slot] : 0;
      if (this.playing && !this.waiting) lane?.gain.gain.setTargetAtTime(wanted, this.ctx!.currentTime, FADE_S);
      else if (lane) {
        lane.gain.gain.cancelScheduledValues(0);
        lane.gain.gain.value = wanted;
      }
    });
  }

  async play(): Promise<void> {
    if (this.playing || !this.duration_s) return;
    if (this.from_s >= this.duration_s - 0.05) this.from_s = 0;
    const take = ++this.take;
    this.playing = this.waiting = true;
    this.changed();
    try {
      await this.run(take);
    } catch (error) {
      if (take !== this.take) return;
      this.pause();
      this.failed(error as Error);
    }
  }

  private async run(take: number): Promise<void> {
    const ctx = this.ctx!;
    const wanted = () => take === this.take;
    if (ctx.state !== "running") await ctx.resume();
    const lanes = this.lanes.filter((lane) => lane !== undefined);
    await Promise.all(lanes.map((lane) => lane.prepare(this.from_s)));
    if (!wanted()) return;
    this.from_s = Math.round(this.from_s * ctx.sampleRate) / ctx.sampleRate;
    this.level();
    this.zero = Math.ceil((ctx.currentTime + AHEAD_S) * ctx.sampleRate) / ctx.sampleRate - this.from_s;
    this.waiting = false;
    this.changed();
    await Promise.all(lanes.map((lane) => lane.run(this.zero, this.from_s, wanted)));
    while (wanted() && ctx.currentTime < this.zero + this.duration_s) await pause(1000 * (this.zero + this.duration_s - ctx.currentTime));
    if (!wanted()) return;
    this.halt();
    this.from_s = 0;
    this.changed();
  }

  private halt(): void {
    this.from_s = this.position_s;
    this.take++;
    this.playing = this.waiting = false;
    for (const lane of this.lanes) lane?.stop();
  }

  pause(): void {
    this.halt();
    this.changed();
  }

  seek(seconds: number): void {
    const again = this.playing;
    this.halt();
    this.from_s = Math.min(this.duration_s, Math.max(0, seconds));
    this.changed();
    if (again) void this.play();
  }
}
